"""What git says is not believed to be what it should be."""

from pathlib import Path

import pytest

from sitegen.core.errors import PublishError
from sitegen.deploy.git import execute


@pytest.mark.fault(34)
def test_a_name_that_no_program_takes(tmp_path: Path) -> None:
    """A NUL in what git told, and would be asked about, is told as git's mistake."""
    with pytest.raises(PublishError, match=r"git answered 'a\\x00b'; see whether `git` works here"):
        execute(["git", "ls-remote", "a\0b"], tmp_path)
