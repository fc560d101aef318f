"""`sitegen publish` puts the built site on a branch, and changes nothing else.

The remotes are bare repositories next to the site, with hooks that refuse or interfere.
"""

import shutil
from pathlib import Path

import pytest

from sitegen.config.schema import load_site
from sitegen.core.errors import LockedError, PlatformError, PublishError
from sitegen.core.files import lock
from sitegen.deploy.publish import pages_address
from tests.support.builders import git, write_site
from tests.support.forked import run_without
from tests.support.publishing import PAGES, SITE, Paper


def test_one_commit_with_the_built_folder(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch has the built folder as one commit, and the author's clone is as before."""
    before = paper.condition()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # as in a hook of git
        monkeypatch.setenv(name, "/nowhere")
    result = paper.publish()
    assert paper.condition() == before
    assert paper.files() == paper.built()
    assert ".nojekyll" in paper.files()
    log = git(paper.bare, "log", "--format=%H|%P|%cn|%ce|%s", PAGES)
    assert log == f"{result.commit}||Ann|ann@example.org|Publish A title"
    assert git(paper.bare, "fsck", "--strict") == ""
    assert result.lines()[0] == f"published to gh-pages of origin, commit {log[:10]}"
    again = paper.publish()
    assert (again.changed, paper.tip()) == (False, result.commit)
    assert "has this site already" in again.lines()[0]
    paper.rebuild("Other words.")
    assert paper.publish().changed
    assert git(paper.bare, "rev-list", "--count", PAGES) == "1"
    assert paper.files() == paper.built()


def test_dry_run_changes_nothing(paper: Paper) -> None:
    """It prints what would be pushed, and pushes nothing."""
    before = paper.condition(), git(paper.bare, "for-each-ref")
    result = paper.publish(dry_run=True)
    assert any(line.startswith("would publish ") for line in paper.report.lines)
    assert result.lines()[0] == "nothing was pushed to gh-pages of origin"
    assert (paper.condition(), git(paper.bare, "for-each-ref")) == before


def test_domain(paper: Paper) -> None:
    """CNAME comes from site.toml; otherwise the one on the branch stays."""
    paper.publish()
    paper.push_of_somebody("CNAME")
    paper.rebuild("Other words.")
    result = paper.publish()
    assert paper.files() == {**paper.built(), "CNAME": b"old.example.org"}
    assert result.address == "https://old.example.org/"
    paper.rebuild("Words.", 'domain = "ours.example.org"\n')
    assert "it is at https://ours.example.org/" in paper.publish().lines()
    assert paper.files()["CNAME"] == b"ours.example.org"


def test_a_branch_that_is_no_site_is_replaced_with_overwrite_only(paper: Paper) -> None:
    """A branch without media.json of sitegen is the work of others."""
    commit = paper.push_of_somebody("thesis.tex")
    paper.refused(f"is at {commit[:10]}, which has no media.json of sitegen")
    assert paper.publish(overwrite=True).changed
    assert paper.files() == paper.built()


def test_a_push_of_others_in_the_meantime_is_not_overwritten(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push fails if the branch has changed since it was read, even with --overwrite."""
    import sitegen.deploy.publish as module

    commit = module._commit
    paper.publish()
    paper.rebuild("Other words.")

    def interrupted(*arguments: object) -> str:
        paper.push_of_somebody("hello")
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_commit", interrupted)
    with pytest.raises(PublishError, match="push failed"):
        paper.publish(overwrite=True)
    assert "hello" in paper.files()


def test_branches_that_are_refused(paper: Paper) -> None:
    """A branch that is checked out, the remote's main branch, and a name that is none."""
    git(paper.root, "worktree", "add", "--quiet", "-b", "side", "../side")
    for branch in ("main", "side"):
        paper.refused(f"^{branch} is checked out here", branch=branch, overwrite=True)
    git(paper.root, "checkout", "--quiet", "-b", "work")
    paper.refused("is the main branch of", branch="main", overwrite=True)
    paper.refused("git push failed: ", branch="a..b")


def test_first_branch_of_an_empty_remote(paper: Paper) -> None:
    """Sources come first, unless --overwrite is given."""
    git(paper.bare, "update-ref", "-d", "refs/heads/main")
    paper.refused("no branch yet.*`git push origin HEAD`")
    assert paper.publish(overwrite=True).changed


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("Other words.\n", "index.html differs"),
        ('{{ trajectories("tiny", count=4) }}\n', "tiny-trajectories is not rendered"),
        ("{{ nothing }}\n", "the build fails, .*index.md:1"),
    ],
)
def test_a_folder_older_than_its_sources(paper: Paper, text: str, difference: str) -> None:
    """It is refused with what differs; with --stale it is published with a warning."""
    (paper.root / "pages/index.md").write_text(text)
    paper.refused(f"(?s)the output of `sitegen build`: {difference}.*publish this with --stale")
    assert paper.publish(stale=True).changed
    assert sum("warning: " in line for line in paper.report.lines) == 1


def test_files_that_no_build_wrote(paper: Paper) -> None:
    """A file that the author put into the built folder is not published."""
    (paper.site.output / "secret.txt").write_text("mine")
    paper.refused("secret.txt would be removed")
    (paper.site.output / "secret.txt").unlink()
    (paper.site.output / "key").symlink_to(paper.site.config)
    paper.refused("is a symbolic link", stale=True)


def test_placeholders(paper: Paper) -> None:
    """Words of `sitegen new` are refused with their lines, in sources and in built files."""
    paper.rebuild("Words.", '[[authors]]\nname = "Your Name"\n')
    paper.refused('site.toml:3: authors.0..name = "Your Name": is a placeholder of `sitegen new`')
    assert paper.publish(placeholders=True).changed
    paper.rebuild("By Your Name.", '[[authors]]\nname = "Ann"\n')
    paper.refused(r'index\.html:\d+: "Your Name" is a placeholder')
    (paper.root / "pages/index.md").write_text("Words of our own.\n")
    paper.refused(r'index\.html:\d+: "Your Name" is a placeholder', stale=True)


def test_check_comes_first(paper: Paper) -> None:
    """Errors of `check` refuse, with their lines; warnings refuse with --strict only."""
    paper.rebuild("Words, [more](http://localhost/).")
    assert "leads to the reader's own machine" in paper.refused("cannot be published: 1 error")
    paper.rebuild("Words.", '[[authors]]\nname = "Your Name"\n')
    paper.refused("0 errors, 1 warning", strict=True, placeholders=True)


def test_folders_that_sitegen_did_not_build(paper: Paper) -> None:
    """A repository, a foreign folder and no folder are refused, and so is a build at work."""
    output = paper.site.output
    with lock(paper.root / ".sitegen/lock"):
        paper.refused("another sitegen is running here", LockedError)
    (output / ".git").mkdir()
    paper.refused("is not a folder that sitegen built")
    shutil.rmtree(output)
    paper.refused("does not exist; run `sitegen build` first")
    output.mkdir()
    (output / "index.html").write_text("mine")
    paper.refused("is not a folder that sitegen built")


def test_a_hook_of_the_remote_refuses(paper: Paper) -> None:
    """Git's message is shown, and the next publish succeeds."""
    paper.hook("update", "echo 'no sites on a Friday' >&2; exit 1")
    paper.refused("git push failed: .*no sites on a Friday")
    paper.hook("update", "exit 0")
    assert paper.publish().changed


def test_what_git_lacks(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """No remote, author, repository or git: in git's words, without a password."""
    paper.refused("there is no remote fork, there is origin", remote="fork")
    git(paper.root, "config", "--remove-section", "user")
    git(paper.root, "config", "user.useConfigOnly", "true")
    monkeypatch.delenv("GIT_COMMITTER_EMAIL", raising=False)
    paper.refused(r"user\.email")
    git(paper.root, "config", "user.name", "Ann")
    git(paper.root, "config", "user.email", "ann@example.org")
    git(paper.root, "remote", "set-url", "origin", "https://ann:secret@127.0.0.1:9/paper.git")
    assert "secret" not in paper.refused(r"git ls-remote failed: .*127\.0\.0\.1")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(paper.root))
        with pytest.raises(PlatformError, match="git is not installed"):
            paper.publish()
    (paper.root / ".git").rename(paper.root.parent / "away")
    with pytest.raises(PublishError, match="create one with `git init`"):
        paper.publish()


def test_the_commands(paper: Paper) -> None:
    """`check` and `publish` need no torch; exit codes are 1 and 6, and --strict counts."""
    paper.rebuild('{{ trajectories("tiny", count=4) }}', '[[authors]]\nname = "Your Name"\n')
    done = run_without("torch", paper.root, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'warning: site.toml:3: authors[0].name = "Your Name"' in done.stdout
    assert "checked 2 pages" in done.stdout  # with 404.html
    assert run_without("torch", paper.root, "check", "--strict").returncode == 1
    done = run_without("torch", paper.root, "publish")
    assert (done.returncode, paper.tip()) == (6, "")
    assert "add --placeholders" in done.stderr
    done = run_without("torch", paper.root, "publish", "--placeholders")
    assert (done.returncode, paper.files()) == (0, paper.built())


@pytest.mark.parametrize(
    ("url", "address"),
    {
        "https://github.com/Ann/paper.git": "https://ann.github.io/paper/",
        "https://token@github.com/ann/paper/": "https://ann.github.io/paper/",
        "git@github.com:ann/paper.git": "https://ann.github.io/paper/",
        "github.com:ann/paper": "https://ann.github.io/paper/",
        "ssh://git@github.com:22/ann/paper.git": "https://ann.github.io/paper/",
        "git@github.com-work:ann/paper.git": "https://ann.github.io/paper/",
        "git@github.com:Ann/Ann.github.io.git": "https://ann.github.io/",
        "https://gitlab.com/ann/paper.git": None,
        "../github.com": None,
        "https://notgithub.com/ann/paper.git": None,
    }.items(),
)
def test_address(tmp_path: Path, url: str, address: str | None) -> None:
    """The address is that of site.toml, or the one that GitHub derives from the repository's."""
    config = write_site(tmp_path, site=SITE.format(""))
    assert pages_address(load_site(config), url) == address
    config.write_text(SITE.format('base_url = "https://a.org/b/"\n'))
    assert pages_address(load_site(config), url) == "https://a.org/b/"


def test_a_commit_that_fails(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of ghp-import pushes nothing and leaves no branch."""
    hook = paper.root / ".git/hooks/reference-transaction"
    hook.write_text(
        '#!/bin/sh\n[ "$1" = prepared ] && grep -Eq " [0-9a-f]*[1-9a-f][0-9a-f]* .*sitegen-p" '
        "&& exit 1; exit 0\n"
    )
    hook.chmod(0o755)
    paper.refused("could not make a commit of")
    hook.unlink()
    git(paper.root, "branch", "sitegen-publish", "main")  # of a publish that was killed
    paper.publish()
    assert git(paper.root, "branch", "--list", "sitegen-publish") == ""
    assert git(paper.bare, "rev-list", "--count", PAGES) == "1"
