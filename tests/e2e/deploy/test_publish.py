"""`sitegen publish` puts the built site on a branch, and can destroy nobody's work.

The remotes are bare repositories beside the site, with hooks that refuse, are slow or interfere.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sitegen.core.errors import LockedError, PlatformError, PublishError
from sitegen.core.locks import lock
from sitegen.deploy.git import Repository
from tests.support.builders import Builder, environment, git, run_sitegen, write_site
from tests.support.previewing import WAIT_S, wait_for
from tests.support.publishing import PAGES, SITE, Paper

BLOCKED = "torch imageio_ffmpeg imageio PIL html5lib"


def test_one_commit_with_the_built_folder(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch holds the built folder in one commit, replaced when the site has changed."""
    before = paper.condition()
    done = paper.publish()
    assert paper.condition() == before
    assert paper.files() == paper.built()
    assert ".nojekyll" in paper.files()
    log = git(paper.bare, "log", "--format=%H|%P|%cn|%ce|%s", PAGES)
    assert log == f"{done.commit}||Ann|ann@example.org|Publish A title"
    assert any("published to gh-pages of origin" in line for line in done.lines())
    assert git(paper.bare, "fsck", "--strict") == ""
    refs = git(paper.root, "for-each-ref", "--format=%(refname)").splitlines()
    ours = [f"refs/sitegen/{state}/origin/gh-pages" for state in ("attempted", "published")]
    known = ["refs/heads/main", "refs/remotes/origin/gh-pages", "refs/remotes/origin/main"]
    assert refs == [*known, *ours, "refs/stash"]
    again = paper.publish()
    assert (again.changed, paper.tip()) == (False, done.commit)
    assert "has this site already" in again.lines()[0]
    assert not any("publishing " in line for line in paper.report.lines)
    paper.rebuild("Other words.")
    with monkeypatch.context() as patch:
        for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
            patch.setenv(name, "/nowhere")
        assert paper.publish().changed
    assert git(paper.bare, "rev-list", "--count", PAGES) == "1"
    assert paper.files() == paper.built()


def test_domain_of_the_site(paper: Paper) -> None:
    """CNAME comes from site.toml each time, and one that GitHub's settings wrote is not lost."""
    paper.push_of_somebody("CNAME")
    paper.refused(r'set domain = "old\.example\.org" in', overwrite=True)
    git(paper.bare, "update-ref", "-d", PAGES)
    for dry_run in (True, False):
        assert any("not on github.com" in line for line in paper.publish(dry_run=dry_run).lines())
    paper.push_of_somebody("CNAME")
    for words in ("One.", "Two."):
        paper.rebuild(words, 'domain = "ours.example.org"\n')
        done = paper.publish(overwrite=True)
        assert paper.files()["CNAME"] == b"ours.example.org"
        assert "it is at https://ours.example.org/" in done.lines()


def test_dry_run_changes_nothing(paper: Paper) -> None:
    """It says what would be put where, or that it is there; neither repository is touched."""
    before = paper.everything()
    done = paper.publish(dry_run=True)
    assert any(line.startswith("would publish ") for line in paper.report.lines)
    assert done.lines()[0].startswith("nothing was pushed")
    assert paper.everything() == before
    paper.publish()
    before = paper.everything()
    assert "has this site already" in paper.publish(dry_run=True).lines()[0]
    assert not any("would publish" in line for line in paper.report.lines)
    assert paper.everything() == before
    paper.rebuild("Other words.")
    assert paper.publish(dry_run=True).lines()[0].startswith("nothing was pushed")
    paper.refused("there is no remote fork, there is origin", dry_run=True, remote="fork")


def test_work_of_others_is_not_overwritten(paper: Paper) -> None:
    """A branch that was there before, or moved since we published, stays, until --overwrite."""
    paper.push_of_somebody()
    paper.refused("it was pushed by someone else, or from another")
    git(paper.bare, "update-ref", "-d", PAGES)
    paper.publish()
    theirs = paper.push_of_somebody()
    paper.rebuild("Other words.")
    paper.refused(f"is at {theirs[:10]}, which was not published from")
    git(paper.root, "fetch", "--quiet", "origin")  # that it was fetched does not make it ours
    paper.refused("add --overwrite")
    assert paper.publish(overwrite=True).changed
    assert paper.files() == paper.built()


def test_push_during_our_push(paper: Paper) -> None:
    """Whoever comes between is not overwritten, not even with --overwrite."""
    ours = paper.publish().commit
    theirs = paper.push_of_somebody()
    paper.rebuild("Other words.")
    paper.hook("pre-push", f"git -C '{paper.bare}' update-ref {PAGES} {theirs}", here=True)
    for overwrite in (False, True):
        git(paper.bare, "update-ref", PAGES, str(ours))
        with pytest.raises(PublishError, match="was refused"):
            paper.publish(overwrite=overwrite)
        assert paper.tip() == theirs


ODD = ["-x", "a b", "a..b", "", "x.lock", "HEAD", "@", "FETCH_HEAD", "refs/heads/x", "heads/x"]


def test_branches_that_are_refused(paper: Paper) -> None:
    """One that is worked on, the remote's main one, and no names, are refused in every case."""
    before = paper.tip("refs/heads/main")
    git(paper.root, "worktree", "add", "--quiet", "-b", "side", "../side")
    for branch in ("main", "side"):
        paper.refused(f"^{branch} is checked out here", branch=branch, overwrite=True)
    done = run_sitegen(paper.root, "publish", "--branch", "main")
    assert done.returncode == 6
    assert done.stderr.startswith("error: main is checked out here")
    git(paper.root, "checkout", "--quiet", "-b", "work")
    paper.refused("is the main branch of", branch="main", overwrite=True)
    for branch in (*ODD, "0" * 40):  # before git could take it for something else
        paper.refused("not a usable branch name", branch=branch, dry_run=True)
    assert (paper.tip("refs/heads/main"), paper.tip("refs/heads/side")) == (before, "")


def test_first_branch_of_an_empty_remote(paper: Paper) -> None:
    """Where nothing was pushed before, sources come first, unless --overwrite is given."""
    git(paper.bare, "update-ref", "-d", "refs/heads/main")
    git(paper.bare, "symbolic-ref", "HEAD", PAGES)
    for dry_run in (True, False):
        paper.refused(r"no branch yet.*`git push origin HEAD`", dry_run=dry_run)
    paper.publish(overwrite=True)
    paper.rebuild("Other words.")
    paper.publish()
    assert paper.files() == paper.built()
    git(paper.bare, "update-ref", "-d", PAGES)  # a branch that was removed is made anew
    git(paper.root, "push", "--quiet", "origin", "main")
    assert paper.publish().changed
    git(paper.bare, "symbolic-ref", "HEAD", "refs/heads/other")  # which is not there
    paper.rebuild("Words again.")
    assert paper.publish().changed


def test_older_than_its_sources(paper: Paper) -> None:
    """A stale folder is refused with what to run; with --stale it is published with a warning."""
    paper.publish()
    assert paper.warned() == []
    page, before = paper.root / "pages/index.md", paper.condition()
    for text, told in {
        "Other words.\n": "the output of `sitegen build`: index.html differs; run it first",
        '{{ trajectories("tiny", count=4) }}\n': "tiny-trajectories is not rendered",
        "{{ nothing }}\n": "the build fails, ",
    }.items():
        page.write_text(text)
        before = paper.condition()
        assert told in paper.refused("or publish this with --stale")
        paper.refused("or publish this with --stale", dry_run=True)
        paper.publish(stale=True)
        (line,) = paper.warned()
        assert told in line
        assert paper.condition() == before
    assert "index.md:1" in line


def test_placeholders_of_a_stale_folder(paper: Paper) -> None:
    """Placeholders in the built files are found, though the sources have them no more."""
    paper.rebuild("Write the abstract here: two sentences.", '[[authors]]\nname = "Your Name"\n')
    paper.site.config.write_text(SITE.format('[[authors]]\nname = "Ann"\n'))
    (paper.root / "pages/index.md").write_text("Words of our own.\n")
    told = paper.refused("add --placeholders to publish it anyway", stale=True)
    assert re.search(r'index\.html:\d+: "Your Name" is a placeholder', told)
    assert re.search(r'index\.html:\d+: "Write the abstract here" is a', told)
    assert paper.publish(stale=True, placeholders=True).changed
    paper.site()
    (paper.root / "pages/index.md").write_text("Write the abstract here.\n")
    assert paper.publish(stale=True).changed


def test_a_remote_that_is_silent(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote that accepts and says nothing is reported, and git ends when it closes."""
    monkeypatch.setattr("sitegen.deploy.git.SLOW_SECONDS", 0.5)
    words = "`git ls-remote` is still running; Ctrl-C stops it"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_when_reported() -> None:
            connection, _ = listener.accept()
            wait_for(lambda: any(words in line for line in paper.report.lines), "words")
            connection.close()

        port = listener.getsockname()[1]
        git(paper.root, "remote", "set-url", "origin", f"git://127.0.0.1:{port}/x.git")
        before = paper.condition()
        threading.Thread(target=close_when_reported, daemon=True).start()
        paper.refused("does not answer")
    assert paper.condition() == before


def test_http_gives_up(paper: Paper) -> None:
    """Git, which sitegen runs, gives up on a web server that sends nothing for five minutes."""
    repository = Repository(paper.root)
    for name, value in {"http.lowSpeedLimit": "1", "http.lowSpeedTime": "300"}.items():
        assert repository.run("config", name).out == value


def test_ssh_gives_up(paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ssh is told to give up on a silent server; a command of the author stays as it is."""
    (tmp_path / "programs").mkdir()
    for name in ("ssh", "own"):
        program = tmp_path / "programs" / name
        program.write_text(f'#!/bin/sh\necho "{name} $@" >> "{tmp_path}/called"\nexit 255\n')
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("GIT_SSH", raising=False)
    git(paper.root, "remote", "set-url", "origin", "git@example.invalid:x.git")
    paper.refused("does not answer")
    monkeypatch.setenv("GIT_SSH", str(program))
    paper.refused("does not answer")
    git(paper.root, "config", "core.sshCommand", "own --mine")
    paper.refused("does not answer")
    called = (tmp_path / "called").read_text().splitlines()  # git asks an unknown command first
    first, second, third = (line for line in called if "git-upload-pack" in line)
    assert first.startswith("ssh -o ConnectTimeout=60 -o ServerAliveInterval=60 ")
    assert second.startswith("own git@example.invalid ")
    assert third.startswith("own --mine git@example.invalid ")


def test_folders_that_sitegen_did_not_build(paper: Paper) -> None:
    """What others put there, a repository, a build at work, no folder: each is refused."""
    output = paper.site.output
    (output / "secret.txt").write_text("mine")
    words = r"did not write.*: secret\.txt; `sitegen build`"
    paper.refused(words, dry_run=True)
    (paper.root / "pages/index.md").write_text("Other words.\n")
    paper.refused(words)
    paper.site()
    assert not (output / "secret.txt").exists()
    (output / ".git").mkdir()
    paper.refused("is not a folder that sitegen built")
    (output / ".git").rmdir()
    with lock(paper.root / ".sitegen/lock"):
        paper.refused("process", LockedError)
    assert paper.publish().changed
    shutil.rmtree(output)
    paper.refused("run `sitegen build` first")
    output.mkdir()
    (output / "index.html").write_text("mine")
    paper.refused("is not a folder that sitegen built")


def test_hook_of_git_itself(paper: Paper) -> None:
    """Where the author's own hook keeps the commit from being made: its words."""
    refuse = '[ "$1" = prepared ] && grep -q unfinished && echo "not today" >&2 && exit 1; exit 0'
    paper.hook("reference-transaction", refuse, here=True)
    told = paper.refused("could not make a commit of")
    assert [word in told for word in ("not today", "Traceback", "crash")] == [True, False, False]


@pytest.mark.parametrize(("name", "here"), [("update", False), ("pre-push", True)])
def test_hooks_that_refuse(paper: Paper, name: str, here: bool) -> None:
    """Git's words are told, what was published stays ours, and the next time all goes well."""
    paper.publish()
    paper.rebuild("Other words.")
    before = paper.condition()
    paper.hook(name, "echo 'no sites on a Friday' >&2; exit 1", here=here)
    paper.refused("no sites on a Friday")
    assert paper.condition() == before
    paper.hook(name, "exit 0", here=here)
    assert paper.publish().changed


@pytest.mark.parametrize(
    "urls",
    [
        ["https://ann:s3cret\n@127.0.0.1:9/x"],
        ["https:/ann:s3cret@127.0.0.1:9/x"],
        ["//ann:s3cret@127.0.0.1:9/x"],
        ["foo::ann:s3cret@127.0.0.1:9/x"],
        ["{bare}", "foo::ann:s3 cret@127.0.0.1:9/x"],
    ],
)
def test_no_odd_address_is_told(paper: Paper, urls: list[str]) -> None:
    """What is secret in an address without `://`, of two lines or beside another stays so."""
    for url in urls:
        place = url.format(bare=paper.bare)
        git(paper.root, "config", "--add", "remote.origin.pushurl", place)
    with pytest.raises(PublishError) as told:
        paper.publish()
    assert "cret" not in str(told.value)
    assert "cret" not in "".join(paper.report.lines)


def test_no_repository(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """No remote, author, repository or git: told in git's words, without anybody's password."""
    for url, words in {
        str(paper.bare.parent / "gone.git"): r"gone\.git does not answer: .*appear to be a git",
        "https://ann:secret@127.0.0.1:9/paper.git": r"https://127\.0\.0\.1:9/paper\.git does",
    }.items():
        git(paper.root, "remote", "set-url", "origin", url)
        assert "secret" not in paper.refused(words)
    git(paper.root, "remote", "set-url", "origin", paper.bare.as_uri())
    assert paper.publish().changed
    paper.rebuild("Other words.")
    git(paper.root, "config", "--remove-section", "user")
    git(paper.root, "config", "user.useConfigOnly", "true")
    paper.refused(r"user\.email")
    git(paper.root, "remote", "remove", "origin")
    paper.refused("there is none; add it with `git remote add origin URL")
    (paper.root / ".git").rename(paper.root.parent / "away")
    paper.refused("create one with `git init`")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(paper.root))
        with pytest.raises(PlatformError, match="git is not installed"):
            paper.publish()


def test_check_comes_first(paper: Paper) -> None:
    """Errors refuse, with their places; warnings refuse with strict only."""
    paper.rebuild("Words, [more](http://localhost/).")
    told = paper.refused("cannot be published: 1 error")
    assert '"http://localhost/" leads to the reader\'s own machine' in told
    paper.rebuild("Words.", 'base_url = "https://a.example/"\n')
    config = paper.root / "site.toml"
    config.write_text(config.read_text().replace("a.example", "b.example"))
    paper.refused("0 errors, 1 warning", strict=True, stale=True)
    paper.rebuild("Words.")
    assert paper.publish().changed


def test_placeholders_go_out_only_if_told(paper: Paper) -> None:
    """What `sitegen new` wrote is refused with its line, and published where it was asked for."""
    paper.rebuild("Words.", '[[authors]]\nname = "Your Name"\n')
    told = paper.refused("add --placeholders to publish it anyway")
    assert 'site.toml:3: authors[0].name = "Your Name": is a placeholder of `sitegen new`' in told
    assert paper.publish(placeholders=True).changed
    words = "**Abstract.** Write the abstract here.\n\nBy Your Name."
    paper.rebuild(words, '[[authors]]\nname = "Ann"\n')
    told = paper.refused("add --placeholders to publish it anyway")
    for words in ("Write the abstract here", "Your Name"):
        assert re.search(rf'index\.html:\d+: "{words}" is a placeholder', told)


def test_check(paper: Paper) -> None:
    """`sitegen check` needs no torch, heeds --strict, and takes a folder alone."""

    def check(*words: str) -> tuple[int, str, str]:
        done = run_sitegen(paper.root, "check", *words, FAKE_BLOCK=BLOCKED)
        return done.returncode, done.stdout, done.stderr

    paper.rebuild('{{ trajectories("tiny", count=4) }}', '[[authors]]\nname = "Your Name"\n')
    code, out, error = check()
    assert (code, error) == (0, "")
    assert 'warning: site.toml:3: authors[0].name = "Your Name"' in out
    assert "checked 2 pages" in out  # with 404.html
    code, _, error = check("--strict")
    assert code == 1
    assert error.startswith("error: the site cannot be published: 0 errors, 1 warn")
    (paper.site.output / "x.html").write_text('<a href="nothing">')
    paper.site.config.unlink()
    assert check("--output", "build")[0] == 1


def test_from_a_folder_below_the_top_and_a_detached_head(paper: Paper, tmp_path: Path) -> None:
    """The site may lie anywhere in its repository, in a linked work tree, without a branch."""
    git(paper.root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    site = Builder(write_site(tmp_path / "linked/docs/site", index="Words.\n"))
    site()
    linked = Paper(site, paper.bare)
    assert linked.publish().changed
    assert linked.files() == linked.built()


def start(paper: Paper) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command, pipe = [sys.executable, "-m", "tests.support.fakecli", "publish"], subprocess.PIPE
    return subprocess.Popen(command, cwd=paper.root, env=environment(), stderr=pipe, text=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_in_the_middle(paper: Paper, number: int, code: int) -> None:
    """Ctrl-C or a kill during the push leaves both repositories well, and the next one succeeds."""
    paper.publish()
    paper.rebuild("Other words.")
    before = paper.condition()
    started = paper.bare / "started"
    paper.hook("pre-receive", f"touch '{started}'; sleep 3")
    process = start(paper)
    wait_for(started.exists)
    process.send_signal(number)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    time.sleep(3.5)  # the hook goes on to its end without us, and the push may succeed
    git(paper.root, "fsck", "--strict")
    git(paper.bare, "fsck", "--strict")
    paper.hook("pre-receive", "exit 0")
    if number == signal.SIGINT:
        assert paper.condition() == before
    paper.publish()
    assert paper.files() == paper.built()
    assert paper.condition() == before


def test_stopped_while_the_commit_is_made(
    paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends git as well, and leaves no branch."""
    slow, started, ended = (tmp_path / name for name in ("bin/git", "started", "ended"))
    slow.parent.mkdir()
    git_then = f'{shutil.which("git")} "$@"'
    case = f"*fast-import*) touch {started}; sleep 3; {git_then}; touch {ended} ;;"
    slow.write_text(f'#!/bin/sh\ncase "$*" in {case} *) exec {git_then} ;; esac\n')
    slow.chmod(0o755)
    before = paper.condition()
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    process = start(paper)
    wait_for(started.exists)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, error.count("\n")) == (130, 1)
    assert paper.condition() == before
    time.sleep(3.5)
    assert not ended.exists()
    assert paper.condition() == before
