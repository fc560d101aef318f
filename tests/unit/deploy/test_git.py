"""What git says is not repeated where it is secret."""

import pytest

from sitegen.deploy.git import masked


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
