"""What git says is not believed to be what it should be, nor repeated where it is secret."""

from pathlib import Path

import pytest

from sitegen.core.errors import PublishError
from sitegen.deploy.git import execute, masked


@pytest.mark.fault(34)
def test_a_name_that_no_program_takes(tmp_path: Path) -> None:
    """A NUL in what git told, and would be asked about, is told as git's mistake."""
    with pytest.raises(
        PublishError, match=r"git answered 'a\\x00b'; check whether `git` works here"
    ):
        execute(["git", "ls-remote", "a\0b"], tmp_path)


@pytest.mark.parametrize(
    ("url", "shown"),
    {
        "https://ann:s3cret@host/x.git": "https://host/x.git",
        "https://ann:a@s3cret@host/x.git": "https://host/x.git",
        "https://s3cret@host/@scope/x.git": "https://host/@scope/x.git",
        "ssh://ann:s3cret@host:22/x": "ssh://host:22/x",
        "x-access-token:s3cret@github.com/a/b": "github.com/a/b",
        "git@github.com:ann/x.git": "git@github.com:ann/x.git",
        "https://host:8443/@scope/x.git": "https://host:8443/@scope/x.git",
        "/srv/git/a&b;c/x.git": "/srv/git/a&b;c/x.git",
        "host/x@y.git": "host/x@y.git",
    }.items(),
)
def test_credentials_are_masked(url: str, shown: str) -> None:
    """A user and a password or token are removed from an address, wherever it stands in a text."""
    for words in ("{}", "fatal: '{}': no", "To {}\n ! [rejected] a -> b (see {}): {}: no, {}."):
        assert masked(words.replace("{}", url)) == words.replace("{}", shown)


def test_plain_words_are_readable() -> None:
    """What git says of anything else is left as it is."""
    for words in (
        "git@github.com: Permission denied (publickey).",
        "Author: Ann <ann@example.org> at 12:30:01",
        "fatal: ambiguous argument 'HEAD@{1}': unknown revision",
        "see https://docs.github.com/a: it tells more",
    ):
        assert masked(words) == words
