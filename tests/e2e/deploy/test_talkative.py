"""A git that says more than a pipe holds, before it reads what it is given, blocks nobody."""

import sys
import tempfile
from pathlib import Path

from sitegen.deploy.git import execute

TALKS = (
    "import sys; sys.stdout.write('a' * 300000); sys.stderr.write('b' * 300000); sys.stdin.read()"
)


def test_words_beyond_a_pipe(tmp_path: Path) -> None:
    """Both streams are read whole, whatever the order is in which it talks and listens."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(bytes(300_000))
        stdin.seek(0)
        done = execute([sys.executable, "-c", TALKS], tmp_path, stdin)
    assert (done.code, len(done.out)) == (0, 300_000)
    assert done.words.startswith("b")
