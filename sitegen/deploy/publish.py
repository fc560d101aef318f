"""Publishing: the built folder becomes the one commit of a branch that GitHub Pages serves.

The commit is made by ghp-import beside everything else in the repository: no file, no index and no
branch of the author's is touched. A ref of our own remembers what was published, so that the work
of others is never overwritten unseen: the push goes through only if the remote's branch still is
what we have seen there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from pathlib import Path

from sitegen.builder.context import BuildOptions
from sitegen.builder.output import (
    ServedFolder,
    Tree,
    alone,
    differences,
    is_built,
    read_folder,
)
from sitegen.builder.placing import built, kept
from sitegen.builder.works import prepare_all, whole
from sitegen.config.loader import load_papers
from sitegen.config.scaffold import placeholders, placeholders_in
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.diagnostics import Diagnostic
from sitegen.core.errors import PublishError, SitegenError, TargetError
from sitegen.core.files import platform_errors
from sitegen.core.locks import lock
from sitegen.core.progress import Reporter
from sitegen.core.source import shown
from sitegen.deploy.check import check_site
from sitegen.deploy.git import Remote, Repository, committed, masked, mend

_NO_BRANCH = re.compile(r"@|([A-Z]+_)?HEAD|(refs|heads|tags|remotes)/.*|-.*|[0-9a-f]{40}")
"""Names that git allows and that would be taken for something else sooner or later."""

_GITHUB = re.compile(r"(?:.*[@/])?github\.com(?::\d+)?[:/](?P<user>[^/]+)/(?P<name>[^/]+?)/?")
_ALIAS = re.compile(r"^(ssh://)?([^/@]+@)?github\.com-[\w.-]+(?=[:/])")
"""A host of ~/.ssh/config by the usual name, of somebody with two accounts."""


@dataclass(frozen=True)
class PublishOptions:
    """What the command line says: where to publish to, and how boldly.

    placeholders: whether words of `sitegen new` may be published
    stale: whether a folder that is older than its sources may be published
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
    """What was done, or would be; `commit` is None in a rehearsal."""

    remote: Remote
    branch: str
    commit: str | None
    changed: bool
    address: str | None

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        where = f"{self.branch} of {self.remote.name} ({masked(self.remote.url)})"
        if self.commit is None:
            return [f"nothing was pushed to {where}", *self._visit("it would be at")]
        if not self.changed:
            return [f"{where} holds this site already", *self._visit("it is at")]
        waiting = (
            "GitHub needs a minute or two. The first time, choose this branch and / (root) under "
            "Settings, Pages, Deploy from a branch."
        )
        lines = [f"published to {where}, commit {self.commit[:10]}", *self._visit("it is at")]
        return [*lines, waiting] if _GITHUB.fullmatch(_bare(self.remote.url)) else lines

    def _visit(self, words: str) -> list[str]:
        if self.address:
            return [f"{words} {self.address}"]
        return [
            f"its address is not known, since {self.remote.name} is not on github.com; write it "
            "into site.toml: base_url"
        ]


def publish(site: Site, output: Path, options: PublishOptions, report: Reporter) -> PublishResult:
    """Put the built folder on the branch, or with `dry_run` tell what would be done.

    Raises PublishError with nothing changed on the remote, PlatformError where git is missing,
    LockedError while a build is at work.
    """
    if not output.is_dir():
        raise PublishError(f"{shown(output)}: there is no such folder; run `sitegen build` first")
    if not is_built(output):
        raise PublishError(
            f"{shown(output)}: is not a folder that sitegen built (it has no media.json of "
            "sitegen's, or a git repository in it); name the built one with --output"
        )
    repository = Repository(site.root, report.note)
    with alone(site), lock(repository.common / "sitegen.lock"):
        folder = read_folder(output).sealed()  # what comes from now on is not looked at, and stays
        fresh = _without_others(site, folder)
        _require_fresh(fresh, output, options, report)
        _check(site, folder, fresh, options, report)
        remote = _remote(repository, options)
        if not options.dry_run:
            _mend(repository, options)
        _keep_domain(repository, remote, site, options)
        address = pages_address(site, remote.url)
        ours = remote.tip if remote.tip in _ours(repository, options) else None
        if ours and repository.holds(ours, folder, site):
            if not options.dry_run:
                repository.ask("update-ref", _ref(options, "published"), ours)
            return PublishResult(remote, options.branch, ours, False, address)
        _tell(folder, remote, site, options, report)
        if options.dry_run:
            return PublishResult(remote, options.branch, None, False, address)
        with committed(repository, folder, site) as commit:
            _push(repository, commit, remote, options)
        return PublishResult(remote, options.branch, commit, True, address)


def _mend(repository: Repository, options: PublishOptions) -> None:
    """Remove what the last publish left if it was killed, and note when this one began.

    A rehearsal and a run that is stopped before it has mended leave the note as it is.
    """
    note = repository.common / "sitegen.began"
    began = note.stat().st_mtime if note.exists() else inf
    mend(repository, f"refs/remotes/{options.remote}/{options.branch}", began)
    with platform_errors(note):
        note.touch()


def pages_address(site: Site, url: str) -> str | None:
    """Where the site can be visited: as `site.toml` says, or as GitHub derives it."""
    if site.domain:
        return f"https://{site.domain}/"
    if site.base_url:
        return site.base_url
    found = _GITHUB.fullmatch(_bare(url))
    if found is None:
        return None
    host = f"{found['user'].lower()}.github.io"
    path = "" if found["name"].lower() == host else f"{found['name']}/"
    return f"https://{host}/{path}"


def _bare(url: str) -> str:
    """The address as one of GitHub's, where it is one, without what says nothing."""
    return _ALIAS.sub("git@github.com", url).removesuffix("/").removesuffix(".git")


def _check(
    site: Site, folder: ServedFolder, fresh: Freshness, options: PublishOptions, report: Reporter
) -> None:
    """Raise PublishError for words of `sitegen new` and for what `check_site` finds.

    A fresh folder has those words where its sources have them, which are named by their lines. In
    a stale one, its own files are searched.
    """
    sources = (each for one in (site, *load_papers(site)) for each in placeholders(one))
    left = _placeholders(folder) if fresh.stale else [*sources]
    if left and not options.placeholders:
        end = "nothing was published; --placeholders publishes this"
        raise PublishError("\n".join([*map(str, left), end]))
    findings = check_site(site, folder.root)
    for warning in findings.warnings:
        report.warn(str(warning))
    try:
        findings.require_good(strict=options.strict)
    except TargetError as error:
        raise PublishError("\n".join([*map(str, findings.errors), str(error)])) from None
    report.note(findings.summary())


def _without_others(site: Site, folder: ServedFolder) -> Freshness:
    """How old the folder is. Raises PublishError where it has files that sitegen did not make."""
    fresh = freshness(site, folder)
    if fresh.foreign:
        raise PublishError(
            f"{shown(folder.root)}: holds what sitegen did not put there, or not so, and all could "
            f"read it: {first_few(fresh.foreign)}; "
            "`sitegen build` makes the folder anew without that"
        )
    return fresh


def _placeholders(folder: ServedFolder) -> list[Diagnostic]:
    """Return the words of `sitegen new` in the files that go out."""
    return [
        Diagnostic(shown(folder.root / name), line, text)
        for name in folder.files
        if name.endswith((".html", ".json", ".xml", ".txt"))
        for line, text in placeholders_in(folder.read(name).decode("utf-8", "replace"))
    ]


def _require_fresh(
    fresh: Freshness, output: Path, options: PublishOptions, report: Reporter
) -> None:
    """Raise PublishError for a folder that is older than its sources; with `stale` warn of it."""
    if fresh.stale:
        what = f"{shown(output)}: is not what `sitegen build` would make now: "
        what += f"{first_few(fresh.stale)}; run it first"
        if not options.stale:
            raise PublishError(f"{what}, or publish this with --stale")
        report.warn(what)


def _remote(repository: Repository, options: PublishOptions) -> Remote:
    """The remote, if it and its branch may be published to."""
    branch = options.branch
    odd = repository.run("check-ref-format", f"refs/heads/{branch}").code
    if odd or _NO_BRANCH.fullmatch(branch):
        raise PublishError(f"--branch {branch}: is no name of a branch; the usual one is gh-pages")
    if branch in repository.checked_out():
        raise PublishError(
            f"{branch} is a branch that is being worked on here, and publishing would replace all "
            "that is on it; name another one with --branch, or check out the one of your sources"
        )
    remote = repository.remote(options.remote, branch)
    if remote.tip in _ours(repository, options):
        there = remote.main or remote.tip or repository.has_branches(remote)
        if options.overwrite or there:
            return remote
        raise PublishError(
            f"{masked(remote.url)} has no branch yet, and the first that comes becomes its main "
            f"one: push your sources before (`git push {remote.name} HEAD`); if {branch} is to be "
            "the main one, add --overwrite"
        )
    if remote.main == branch:
        raise PublishError(
            f"{branch} is the main branch of {masked(remote.url)}, and publishing would replace "
            "all that is on it; name another one with --branch"
        )
    if not options.overwrite:
        raise PublishError(
            f"{branch} of {masked(remote.url)} is at {str(remote.tip)[:10]}, which was not "
            "published from this clone: somebody else has pushed there, or you from another one. "
            f"Look at it with `git fetch {remote.name} {branch}` and `git log FETCH_HEAD`; to put "
            "this site in its place, add --overwrite"
        )
    return remote


def _keep_domain(
    repository: Repository, remote: Remote, site: Site, options: PublishOptions
) -> None:
    """Refuse to lose a domain that stands on the branch, where it was not us who put it there."""
    if site.domain is not None or remote.tip in _ours(repository, options):
        return
    domain = (repository.file_there(remote, options.branch, "CNAME") or "").strip()[:253]
    if domain:
        raise PublishError(
            f"{options.branch} of {masked(remote.url)} has the domain {domain}, which GitHub would "
            f'forget; write domain = "{domain}" into site.toml, or remove CNAME from that branch '
            "if the domain is to go"
        )


def _ours(repository: Repository, options: PublishOptions) -> set[str | None]:
    """What the remote's branch may be without being somebody else's work."""
    states = ("published", "attempted")
    return {None, *(repository.commit(_ref(options, state)) for state in states)}


def _ref(options: PublishOptions, state: str) -> str:
    """Where we remember a commit: `published`, or `attempted` before its push has returned."""
    return f"refs/sitegen/{state}/{options.remote}/{options.branch}"


def _tell(
    folder: ServedFolder, remote: Remote, site: Site, options: PublishOptions, report: Reporter
) -> None:
    count, size = len(folder.files), sum(folder.files.values())
    verb = "would put" if options.dry_run else "putting"
    place = f"{options.branch} of {masked(remote.url)}"
    then = f"in the place of {remote.tip[:10]}" if remote.tip else "a new branch"
    domain = f", with the domain {site.domain}" if site.domain else ""
    report.note(f"{verb} {count} files of {size / 1e6:.1f} MB on {place}, {then}{domain}")


def _push(repository: Repository, commit: str, remote: Remote, options: PublishOptions) -> None:
    repository.ask("update-ref", _ref(options, "attempted"), commit)
    branch = f"refs/heads/{options.branch}"
    lease = f"--force-with-lease={branch}:{remote.tip or ''}"
    quiet = ("--progress", "--no-follow-tags", "--recurse-submodules=no")
    done = repository.run("push", *quiet, lease, remote.name, f"{commit}:{branch}")
    if done.code:
        raise PublishError(f"git push to {masked(remote.url)} was refused:\n{done.words}")
    repository.ask("update-ref", _ref(options, "published"), commit)


_MOST = 5  # files that a message names


@dataclass(frozen=True)
class Freshness:
    """How a built folder differs from what a build would make.

    stale: why it is not what a build would make, in words, one a file; empty if it is
    foreign: the files in it that no build has made, under a name of sitegen's or another one
    """

    stale: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


def freshness(site: Site, folder: ServedFolder) -> Freshness:
    """Compare a sealed folder that sitegen built with its sources and the store.

    A file is a build's by what it holds, as a note in the store tells: its name is no proof.
    """
    output = folder.root
    device = resolve_device("auto")
    compute_target = ComputeTarget(device, resolve_precision("auto", device))
    options = BuildOptions(compute_target, output, dry_run=True)  # which only looks at the store
    ours = {*built(site, output), *(old := kept(site, output)).items()}
    tree: Tree | None = None
    try:
        works = prepare_all(site, options)
        lacking = [planned.figure.id for work in works for planned in work.missing]
        words = [f"{name} is not rendered" for name in lacking]
        tree = None if words else whole(works)
    except SitegenError as error:
        words = [f"that stops, {str(error).partition(chr(10))[0]}"]
    changed, others = differences(output, tree or {})
    there = [name for name in (*changed, *others) if name in folder.files or name in folder.others]
    foreign = tuple(name for name in there if (name, folder.seal.get(name, "")) not in ours)
    if tree is not None:
        words = [f"{name} {'differs' if name in there else 'lacks'}" for name in changed]
        gone = (name for name in others if name not in old)  # which is for the last page's readers
        words += [f"{name} would go" for name in gone if name not in foreign]
    return Freshness(tuple(words), foreign)


def first_few(words: tuple[str, ...]) -> str:
    """Write the first of them, and how many more there are."""
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more
