"""What git says is not believed to be what it should be, nor repeated where it is secret."""

from pathlib import Path

import pytest

from sitegen.core.errors import PublishError
from sitegen.deploy.git import execute, masked, public, secrets_of


@pytest.mark.fault(34)
def test_a_name_that_no_program_takes(tmp_path: Path) -> None:
    """A NUL in what git told, and would be asked about, is told as git's mistake."""
    with pytest.raises(
        PublishError, match=r"git answered 'a\\x00b'; check whether `git` works here"
    ):
        execute(["git", "ls-remote", "a\0b"], tmp_path)


ODD_SECRETS = {
    "x-access-token:s3cret@github.com/a/b": "…@github.com/a/b",
    "s3cret3cret3cret3cret3cret:x-oauth-basic@github.com/a/b": "…@github.com/a/b",
    "user:s3cret@host/x.git": "…@host/x.git",
    "user:s3cret@host:x.git": "…@host:x.git",
    "https:/user:s3cret@h/x": "https:/…@h/x",
    "https:user:s3cret@h": "https:…@h",
    "https:s3cret@h": "https:…@h",
    "https//user:s3cret@h": "https//…@h",
    "https:\\\\user:s3cret@h": "https:\\\\…@h",
    "//user:s3cret@h/x": "//…@h/x",
    "https::user:s3cret@h/x": "https::…@h/x",
    "https::https://user:s3cret@h/x": "https::https://h/x",
    "foo::user:s3cret@h/x": "foo::…@h/x",
    "git@github.com:s3cret@x/y": "git@github.com:…@x/y",
    "https://h/x.git;token=s3cret": "https://h/x.git;…",
    "https://h/x.git&token=s3cret": "https://h/x.git&…",
    "https://h/a&b/x.git": "https://h/a&b/x.git",
    "https://user:s3cret": "https://user:…",
    "https://user:1.s3cret/x": "https://user:…/x",
}
OF_SEVERAL_WORDS = {
    "https://user:s3cret\n@h/x": "https://…",
    "https://user:a\ns3cret@h/x": "https://…",
    "https://user:s3cret\nx": "https://…",
    "https://h/x?token=a s3cret": "https://…",
    "user:s3cret\n@h/x": "…@h/x",
    "user:a s3'cret@h/x": "…@h/x",
    "h/x.git?token=s3cret": "h/x.git?…",
}
PLAIN = (
    "git@github.com:ann/x.git",
    "host:path/x.git",
    "../papers/x.git",
    "/srv/git/a&b;c/x.git",
    "file:///srv/x.git",
    "https://host:8443/x.git",
    "https://[::1]:8443/x.git",
    "https://host/@scope/x.git",
    "https://a-long-name.example.org/@scope/x.git",
    "https://host/a&b/x.git",
    "https://host:/x.git",
    "host/x@y.git",
)


@pytest.mark.parametrize("url", ODD_SECRETS | OF_SEVERAL_WORDS)
def test_what_is_secret_in_an_odd_address(url: str) -> None:
    """Without `://`, a host or one line a password is as secret, in what we and git say."""
    assert masked(url) == (ODD_SECRETS | OF_SEVERAL_WORDS)[url]
    if url in ODD_SECRETS:
        shown = ODD_SECRETS[url]
        assert public(f"fatal: '{url}': no") == f"fatal: '{shown}': no"
    for words in (f"fatal: '{url}': no", f"ssh: no host {url}", f"'{url.partition(':')[2]}': no"):
        told = public(words)
        for secret in secrets_of(url):
            told = told.replace(secret, "…")
        assert "s3" not in told
        assert "cret" not in told


@pytest.mark.parametrize("url", PLAIN)
def test_plain_addresses_are_readable(url: str) -> None:
    """An address without a password is told as it is, quoted, in brackets or before a colon."""
    assert masked(url) == url
    assert secrets_of(url) == ()
    for words in (
        f"fatal: unable to access '{url}': no",
        f"fatal: '{url}' does not appear to be a git repository",
        f"To {url}\n ! [rejected] a -> b (see {url}): {url}: no, {url}.",
    ):
        assert public(words) == words


@pytest.mark.parametrize(
    "words",
    [
        "git@github.com: Permission denied (publickey).",
        "fatal: couldn't find remote ref 'x': y",
        "error: src refspec main:gh-pages does not match any",
        "Author: Ann <ann@example.org> at 12:30:01",
        "fatal: ambiguous argument 'HEAD@{1}': unknown revision",
        "see https://docs.github.com/a: it tells more",
    ],
)
def test_plain_words_are_readable(words: str) -> None:
    """What git says of anything else is left as it is."""
    assert public(words) == words
