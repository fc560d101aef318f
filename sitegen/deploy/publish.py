"""Publishing: the built folder becomes the single commit of a branch that GitHub Pages serves.

ghp-import makes the commit separately from the rest of the repository, on a temporary branch: no
file, index or branch of the author is changed. The push succeeds only if the remote's branch has
not changed since it was read.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ghp_import  # type: ignore[import-untyped]

from sitegen.builder.assembly import assemble
from sitegen.builder.install import differences, is_built
from sitegen.builder.plan import BuildOptions, prepare
from sitegen.builder.store import Store
from sitegen.config.scaffold import built_placeholders, placeholders
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError, PublishError, SitegenError, TargetError
from sitegen.core.progress import Reporter
from sitegen.core.source import shown
from sitegen.core.urls import MANIFEST
from sitegen.deploy.check import check_site

_STAGED = "sitegen-publish"
"""Temporary branch for the commit to be published; it is deleted at the end."""

_LOGIN = re.compile(r"(?<=://)[^\s/]*@")
"""User, and password or token, in an address: `https://user:token@`."""

_GITHUB = re.compile(
    r"(?:.*[@/])?github\.com(?:-[\w.-]+)?(?::\d+)?[:/](?P<user>[^/@]+)/(?P<name>[^/]+?)(\.git)?/?"
)
"""Address of a repository on GitHub; ~/.ssh/config may name the host github.com-something."""


@dataclass(frozen=True)
class PublishOptions:
    """Settings from the command line: the destination, and checks to skip.

    overwrite: replace a branch that has no site of sitegen, or create the remote's first branch
    placeholders: allow words of `sitegen new`
    stale: allow a folder that is older than its sources
    """

    remote: str = "origin"
    branch: str = "gh-pages"
    overwrite: bool = False
    strict: bool = False
    placeholders: bool = False
    stale: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class PublishResult:
    """The result of a publish or its rehearsal; `commit` is None in a rehearsal."""

    destination: str
    commit: str | None
    changed: bool
    address: str | None
    is_on_github: bool

    def lines(self) -> list[str]:
        """Return the summary as the command line prints it."""
        address = f"it is at {self.address}"
        if self.address is None:
            address = "its address is unknown; write it into site.toml: base_url"
        if self.commit is None:
            return [f"nothing was pushed to {self.destination}", address]
        if not self.changed:
            return [f"{self.destination} has this site already", address]
        lines = [f"published to {self.destination}, commit {self.commit[:10]}", address]
        if self.is_on_github:
            lines.append(
                "GitHub needs a minute or two. The first time, choose this branch and / (root) "
                "under Settings, Pages, Deploy from a branch."
            )
        return lines


def publish(site: Site, output: Path, options: PublishOptions, report: Reporter) -> PublishResult:
    """Push the built folder to the branch; with `dry_run`, report what would be done.

    Raises PublishError with nothing changed on the remote, PlatformError if git is missing,
    LockedError during a build.
    """
    if not is_built(output):
        fault = "is not a folder that sitegen built" if output.exists() else "does not exist"
        raise PublishError(f"{shown(output)}: {fault}; run `sitegen build` first")
    with contextlib.ExitStack() as stack:
        if site.cache_dir.is_dir():
            stack.enter_context(Store(site.cache_dir).locked())

        # The folder is what a build makes now, has no words of `sitegen new`, and passes `check`.
        if differs := stale_files(site, output):
            fault = f"{shown(output)}: differs from the output of `sitegen build`: "
            fault += ", ".join(differs[:5])
            fault += f" and {len(differs) - 5} more" if len(differs) > 5 else ""
            if not options.stale:
                raise PublishError(f"{fault}; run it first, or publish this with --stale")
            report.warn(f"{fault}; run it first")
        # The lines of sources that differ from the folder would mislead.
        unfilled = ([] if differs else [*placeholders(site)]) or [*built_placeholders(output)]
        if unfilled and not options.placeholders:
            advice = "nothing was published; add --placeholders to publish it anyway"
            raise PublishError("\n".join([*map(str, unfilled), advice]))
        findings = check_site(site, output)
        for warning in findings.warnings:
            report.warn(str(warning))
        try:
            findings.require_good(strict=options.strict)
        except TargetError as error:
            raise PublishError("\n".join([*map(str, findings.errors), str(error)])) from None
        report.note(findings.summary())

        # The branch is one that may be replaced.
        url = _require_repository(site, options)
        branch, remote = options.branch, options.remote
        git = partial(run_git, site.root)
        # With --symref, the answer also names the main branch, which is never replaced.
        answer = git("ls-remote", "--symref", remote, "HEAD", f"refs/heads/{branch}")
        match = re.search(rf"^([0-9a-f]+)\trefs/heads/{re.escape(branch)}$", answer, re.M)
        tip = match[1] if match else None
        cname = site.domain
        if tip is None:
            if not options.overwrite and not git("ls-remote", "--heads", remote):
                raise PublishError(
                    f"{remote} has no branch yet, and the first one becomes its main branch: push "
                    f"your sources first (`git push {remote} HEAD`); to make {branch} the main "
                    "branch, add --overwrite"
                )
        elif f"ref: refs/heads/{branch}\tHEAD\n" in f"{answer}\n":
            raise PublishError(
                f"{branch} is the main branch of {remote}, and publishing would replace all of its "
                "content; name another branch with --branch"
            )
        else:
            # Without --depth, which would make the author's whole repository a shallow one.
            git("fetch", "--quiet", "--no-tags", remote, f"refs/heads/{branch}")
            files = git("ls-tree", "--name-only", tip).split("\n")
            if MANIFEST not in files and not options.overwrite:
                raise PublishError(
                    f"{branch} of {remote} is at {tip[:10]}, which has no {MANIFEST} of sitegen. "
                    f"Look at it with `git log {tip[:10]}`; to replace it with this site, add "
                    "--overwrite"
                )
            if cname is None and "CNAME" in files:
                cname = git("show", f"{tip}:CNAME").strip()
        address = f"https://{cname}/" if cname else pages_address(site, url)

        # ghp-import makes the commit, and git pushes it.
        size = f"{findings.files} files of {findings.bytes / 1e6:.1f} MB"
        verb = "would publish" if options.dry_run else "publishing"
        replaced = f"replacing {tip[:10]}" if tip else "a new branch"
        domain = f", with the domain {cname}" if cname else ""
        report.note(f"{verb} {size} to {branch} of {remote}, {replaced}{domain}")
        is_on_github = _GITHUB.fullmatch(url) is not None
        destination = f"{branch} of {remote}"
        if options.dry_run:
            return PublishResult(destination, None, False, address, is_on_github)
        commit = _commit(site, output, cname)
        if tip and git("rev-parse", f"{commit}^{{tree}}") == git("rev-parse", f"{tip}^{{tree}}"):
            return PublishResult(destination, tip, False, address, is_on_github)
        # The branch has no history in common with the new commit, so the push is forced; with the
        # lease it fails if someone pushed since the check above.
        lease = f"--force-with-lease=refs/heads/{branch}:{tip or ''}"
        # --no-follow-tags, since an author may have set push.followTags.
        git("push", "--quiet", "--no-follow-tags", lease, remote, f"{commit}:refs/heads/{branch}")
        return PublishResult(destination, commit, True, address, is_on_github)


def stale_files(site: Site, output: Path) -> list[str]:
    """Describe the differences between a built folder and the output of a build now.

    Reads the sources and the store; renders nothing.
    """
    try:
        context = prepare(site, BuildOptions(ComputeTarget("cpu", "float32"), output))
        records = context.store().find(context.keys)
        if missing := [figure for figure in context.figures if figure.key not in records]:
            return [f"{planned.figure.id} is not rendered" for planned in missing]
        tree = assemble(context, records)
    except SitegenError as error:
        return [f"the build fails, {str(error).partition(chr(10))[0]}"]
    changed, others = differences(output, tree)
    lines = [f"{uri} {'differs' if (output / uri).exists() else 'is missing'}" for uri in changed]
    return [*lines, *(f"{uri} would be removed" for uri in others)]


def pages_address(site: Site, url: str) -> str | None:
    """Return the site's URL, from `site.toml` or as GitHub derives it."""
    if site.domain:
        return f"https://{site.domain}/"
    if site.base_url:
        return site.base_url
    match = _GITHUB.fullmatch(url)
    if match is None:
        return None
    host = f"{match['user'].lower()}.github.io"
    # The repository USER.github.io is served at the root of its host, others below it.
    path = "" if match["name"].lower() == host else f"{match['name']}/"
    return f"https://{host}/{path}"


def run_git(root: Path, *arguments: str) -> str:
    """Return the output of git in the author's repository.

    Raises PublishError with git's message, PlatformError without git.
    """
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise PlatformError("git is not installed, and `sitegen publish` needs it") from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if not line.startswith("hint:")]
        message = _LOGIN.sub("", "\n".join(lines[-30:])).removeprefix("fatal: ")
        raise PublishError(f"git {arguments[0]} failed: {message}")
    return result.stdout.strip("\n")


def _require_repository(site: Site, options: PublishOptions) -> str:
    """Return the address of the remote.

    Raises PublishError without a repository, an author or the remote, and for a branch that must
    not be replaced.
    """
    # A hook of git that runs sitegen has these, perhaps for another repository.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        os.environ.pop(name, None)
    git = partial(run_git, site.root)
    try:
        git("rev-parse", "--git-dir")
    except PublishError as error:
        advice = "create one with `git init` and add a remote with `git remote add origin URL`"
        raise PublishError(f"{site.root}: is not in a git repository; {advice} ({error})") from None
    worktrees = git("worktree", "list", "--porcelain").split("\n")
    if f"branch refs/heads/{options.branch}" in worktrees:
        raise PublishError(
            f"{options.branch} is checked out here, and publishing would replace all of its "
            "content; name another branch with --branch, or check out the branch of your sources"
        )
    remotes = git("remote").split()
    if options.remote not in remotes:
        others = f"there is {', '.join(remotes)}" if remotes else "there is none"
        raise PublishError(
            f"there is no remote {options.remote}, {others}; add it with "
            f"`git remote add {options.remote} URL`, or name another one with --remote"
        )
    identity = git("var", "GIT_COMMITTER_IDENT")  # its message says how to set name and address
    if match := re.match(r"(.*) <(.*)>", identity):  # ghp-import reads the settings of git only
        os.environ["GIT_COMMITTER_NAME"], os.environ["GIT_COMMITTER_EMAIL"] = match.groups()
    return git("remote", "get-url", "--push", options.remote)


def _commit(site: Site, output: Path, cname: str | None) -> str:
    """Commit the folder without parents, and return the commit; no branch has it.

    Raises PublishError with nothing changed if git fails, with its message on the terminal.
    """
    git = partial(run_git, site.root)
    try:
        git("update-ref", "-d", f"refs/heads/{_STAGED}")  # a killed publish may have left it
        with contextlib.chdir(site.root):  # ghp-import works on the repository of this folder
            ghp_import.ghp_import(
                output.resolve(), branch=_STAGED, mesg=f"Publish {site.title}", cname=cname
            )
        return git("rev-parse", f"refs/heads/{_STAGED}")
    except (ghp_import.GhpError, TypeError) as error:  # TypeError: its message is written as bytes
        message = f"git could not make a commit of {shown(output)}, see above"
        raise PublishError(message) from error
    finally:
        git("update-ref", "-d", f"refs/heads/{_STAGED}")
