"""Publishing: the built folder becomes the single commit of a branch that GitHub Pages serves.

ghp-import makes the commit separately from the rest of the repository: no file, index or branch of
the author is changed. A ref in `refs/sitegen` remembers the published commit, so that the work of
others is never overwritten unnoticed: the push succeeds only if the remote's branch has not changed
since it was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sitegen.builder.assembly import assemble, placed
from sitegen.builder.context import BuildOptions, prepare
from sitegen.builder.install import ServedFolder, differences, is_built, read_folder
from sitegen.config.scaffold import placeholders, placeholders_in
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget, resolve_device
from sitegen.core.diagnostics import Diagnostic
from sitegen.core.errors import PublishError, SitegenError, TargetError
from sitegen.core.locks import lock
from sitegen.core.progress import Reporter
from sitegen.core.source import shown
from sitegen.deploy.check import check_site
from sitegen.deploy.git import Remote, Repository, committed, masked

_NO_BRANCH = re.compile(r"@|([A-Z]+_)?HEAD|(refs|heads|tags|remotes)/.*|-.*|[0-9a-f]{40}")
"""Branch names that git allows but that are ambiguous, such as HEAD or a commit's digest."""

_GITHUB = re.compile(r"(?:.*[@/])?github\.com(?::\d+)?[:/](?P<user>[^/@]+)/(?P<name>[^/]+?)/?")
_ALIAS = re.compile(r"^(ssh://)?([^/@]+@)?github\.com-[\w.-]+(?=[:/])")
"""A host alias of github.com in ~/.ssh/config, as used with two accounts."""


@dataclass(frozen=True)
class PublishOptions:
    """Settings from the command line: the destination, and checks to skip.

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

    remote: Remote
    branch: str
    commit: str | None
    changed: bool
    address: str | None

    def lines(self) -> list[str]:
        """Return the summary as the command line prints it."""
        where = f"{self.branch} of {self.remote.name} ({masked(self.remote.url)})"
        if self.commit is None:
            return [f"nothing was pushed to {where}", *self._visit("it would be at")]
        if not self.changed:
            return [f"{where} has this site already", *self._visit("it is at")]
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
            f"its address is unknown, since {self.remote.name} is not on github.com; write it "
            "into site.toml: base_url"
        ]


def publish(site: Site, output: Path, options: PublishOptions, report: Reporter) -> PublishResult:
    """Push the built folder to the branch; with `dry_run`, report what would be done.

    Raises PublishError with nothing changed on the remote, PlatformError if git is missing,
    LockedError during a build.
    """
    if not output.is_dir():
        raise PublishError(f"{shown(output)}: does not exist; run `sitegen build` first")
    if not is_built(output):
        raise PublishError(
            f"{shown(output)}: is not a folder that sitegen built (it has no media.json of "
            "sitegen, or a git repository in it); name the built one with --output"
        )
    repository = Repository(site.root, report.note)
    with lock(repository.common / "sitegen.lock"):
        folder = read_folder(output).sealed()  # later changes are neither checked nor published
        fresh = _require_fresh(site, folder, options, report)
        _check(site, folder, fresh, options, report)
        remote = _remote(repository, options)
        _keep_domain(repository, remote, site, options)
        address = pages_address(site, remote.url)
        ours = remote.tip if remote.tip in _ours(repository, options) else None
        if ours and repository.holds(ours, folder, site):
            if not options.dry_run:
                repository.ask("update-ref", _ref(options, "published"), ours)
            return PublishResult(remote, options.branch, ours, False, address)
        _report(folder, remote, site, options, report)
        if options.dry_run:
            return PublishResult(remote, options.branch, None, False, address)
        with committed(repository, folder, site) as commit:
            _push(repository, commit, remote, options)
        return PublishResult(remote, options.branch, commit, True, address)


def pages_address(site: Site, url: str) -> str | None:
    """Return the site's URL, from `site.toml` or as GitHub derives it."""
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
    """Return the address in GitHub's usual form if it is one of GitHub, without redundant parts."""
    return _ALIAS.sub("git@github.com", url).removesuffix("/").removesuffix(".git")


def _check(
    site: Site, folder: ServedFolder, fresh: Freshness, options: PublishOptions, report: Reporter
) -> None:
    """Raise PublishError for words of `sitegen new` and for errors of `check_site`.

    Such words of an up-to-date folder are reported with the lines of its sources, if these have
    them as `sitegen new` wrote them, otherwise with the lines of the built files.
    """
    sources = placeholders(site)
    left = ([] if fresh.stale else [*sources]) or _placeholders(folder)
    if left and not options.placeholders:
        end = "nothing was published; add --placeholders to publish it anyway"
        raise PublishError("\n".join([*map(str, left), end]))
    findings = check_site(site, folder.root)
    for warning in findings.warnings:
        report.warn(str(warning))
    try:
        findings.require_good(strict=options.strict)
    except TargetError as error:
        raise PublishError("\n".join([*map(str, findings.errors), str(error)])) from None
    report.note(findings.summary())


def _placeholders(folder: ServedFolder) -> list[Diagnostic]:
    return [
        Diagnostic(shown(folder.root / name), line, text)
        for name in folder.files
        if name.endswith((".html", ".json", ".xml", ".txt"))
        for line, text in placeholders_in(folder.read(name).decode("utf-8", "replace"))
    ]


def _require_fresh(
    site: Site, folder: ServedFolder, options: PublishOptions, report: Reporter
) -> Freshness:
    """Return the folder's freshness.

    Raises PublishError for files that sitegen did not make, and for a folder that is older than its
    sources; with `stale`, it is a warning.
    """
    fresh, output = freshness(site, folder), shown(folder.root)
    if fresh.stale:
        what = f"{output}: differs from the output of `sitegen build`: {first_few(fresh.stale)}; "
        if not options.stale:
            raise PublishError(f"{what}run it first, or publish this with --stale")
        report.warn(f"{what}run it first")
    return fresh


def _remote(repository: Repository, options: PublishOptions) -> Remote:
    branch = options.branch
    odd = repository.run("check-ref-format", f"refs/heads/{branch}").code
    if odd or _NO_BRANCH.fullmatch(branch):
        raise PublishError(
            f"--branch {branch}: not a usable branch name; the usual one is gh-pages"
        )
    if branch in repository.checked_out():
        raise PublishError(
            f"{branch} is checked out here, and publishing would replace all of its content; name "
            "another branch with --branch, or check out the branch of your sources"
        )
    remote = repository.remote(options.remote, branch)
    if remote.tip in _ours(repository, options):
        there = (
            remote.main
            or remote.tip
            or repository.ask("ls-remote", "--heads", repository.place(remote.name, remote.url))
        )
        if options.overwrite or there:
            return remote
        raise PublishError(
            f"{masked(remote.url)} has no branch yet, and the first one becomes its main branch: "
            f"push your sources first (`git push {remote.name} HEAD`); to make {branch} the "
            "main branch, add --overwrite"
        )
    if remote.main == branch:
        raise PublishError(
            f"{branch} is the main branch of {masked(remote.url)}, and publishing would replace "
            "all of its content; name another branch with --branch"
        )
    if not options.overwrite:
        raise PublishError(
            f"{branch} of {masked(remote.url)} is at {str(remote.tip)[:10]}, which was not "
            "published from this clone: it was pushed by someone else, or from another clone. "
            f"Look at it with `git fetch {remote.name} {branch}` and `git log FETCH_HEAD`; to "
            "replace it with this site, add --overwrite"
        )
    return remote


def _keep_domain(
    repository: Repository, remote: Remote, site: Site, options: PublishOptions
) -> None:
    """Refuse to delete a CNAME that sitegen did not write."""
    if site.domain is not None or remote.tip in _ours(repository, options):
        return
    domain = (repository.file_there(remote, options.branch, "CNAME") or "").strip()[:253]
    if domain:
        raise PublishError(
            f"{options.branch} of {masked(remote.url)} has the domain {domain}, which this would "
            f'remove; set domain = "{domain}" in site.toml to keep it, or delete CNAME from that '
            "branch"
        )


def _ours(repository: Repository, options: PublishOptions) -> set[str | None]:
    """Return the commits that the remote's branch may have without being the work of others."""
    states = ("published", "attempted")
    return {None, *(repository.commit(_ref(options, state)) for state in states)}


def _ref(options: PublishOptions, state: str) -> str:
    """Return the ref for a commit that was `published`, or `attempted` before its push returned."""
    return f"refs/sitegen/{state}/{options.remote}/{options.branch}"


def _report(
    folder: ServedFolder, remote: Remote, site: Site, options: PublishOptions, report: Reporter
) -> None:
    count, size = len(folder.files), sum(folder.files.values())
    verb = "would publish" if options.dry_run else "publishing"
    place = f"{options.branch} of {masked(remote.url)}"
    then = f"replacing {remote.tip[:10]}" if remote.tip else "a new branch"
    domain = f", with the domain {site.domain}" if site.domain else ""
    report.note(f"{verb} {count} files of {size / 1e6:.1f} MB to {place}, {then}{domain}")


def _push(repository: Repository, commit: str, remote: Remote, options: PublishOptions) -> None:
    repository.ask("update-ref", _ref(options, "attempted"), commit)
    branch = f"refs/heads/{options.branch}"
    lease = f"--force-with-lease={branch}:{remote.tip or ''}"
    quiet = ("--progress", "--no-follow-tags", "--recurse-submodules=no")
    done = repository.run("push", *quiet, lease, remote.name, f"{commit}:{branch}")
    if done.code:
        raise PublishError(f"git push to {masked(remote.url)} was refused:\n{done.words}")
    repository.ask("update-ref", _ref(options, "published"), commit)


_MOST = 5  # maximum number of files in a message


@dataclass(frozen=True)
class Freshness:
    """The differences between a built folder and the output of a build.

    stale: differences in words, one per file; empty if there are none
    """

    stale: tuple[str, ...] = ()


def freshness(site: Site, folder: ServedFolder) -> Freshness:
    """Compare a built folder with its sources and the store."""
    output = folder.root
    compute_target = ComputeTarget(resolve_device("auto"), "float32")
    try:
        context = prepare(site, BuildOptions(compute_target, output, offline=True))
        store = context.store()
        records = store.find(context.figures)
        missing = [figure.figure.id for figure in context.figures if figure.key not in records]
        if missing:
            return Freshness(tuple(f"{name} is not rendered" for name in missing))
        tree = assemble(site, context.pages, placed(context.figures, records), store)
    except SitegenError as error:
        return Freshness((f"the build fails, {str(error).partition(chr(10))[0]}",))
    changed, others = differences(output, tree)
    names = folder.files.keys() | folder.others.keys()
    lines = [f"{name} {'differs' if name in names else 'is missing'}" for name in changed]
    return Freshness((*lines, *(f"{name} would be removed" for name in others)))


def first_few(words: tuple[str, ...]) -> str:
    """Return the first words in a list, and the number of the others."""
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more
