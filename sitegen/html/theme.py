"""The theme: templates, stylesheet, script and icon, each of which an author can override.

Beside `site.toml` an author may keep

    theme/templates/NAME.html   instead of the template of that name; the original can be extended
                                and imported as `sitegen/NAME.html`
    theme/static/NAME           instead of the file of that name in `static/`, or in addition to
                                it; stylesheets name such a file as url("NAME")
    theme/colours.css           rules that follow those of the stylesheet, in the same file

Templates run in Jinja's sandbox: they see the views that they are given and nothing of Python.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from traceback import walk_tb
from typing import Any

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sitegen.config.schema import Site
from sitegen.content.sandbox import sandbox
from sitegen.content.templates import FAILURES, LIMITS, reason_of, seeded_choice
from sitegen.core.diagnostics import Diagnostic, close_match
from sitegen.core.errors import ConfigError
from sitegen.core.files import canonical_json, digest_bytes, platform_errors
from sitegen.core.installed import resource
from sitegen.core.source import read_text, require_inside, shown
from sitegen.html.compiled import CompiledTemplates

FOLDER = "theme"
"""Where an author's own theme lies, beside `site.toml`."""

STYLESHEET, SCRIPT, SCHEME, ICON = "style.css", "script.js", "scheme.js", "icon.svg"
SAMPLER_STYLE, SAMPLER_SCRIPT = "sampler.css", "sampler.js"
"""What only pages have whose models draw in them."""
ENGINE, WORKER = "sampler", "worker.js"
"""The folder of `static/` with what draws, and the file of it that a page starts."""
_COLOURS = "colours.css"
_OWN_NIGHT = (
    "prefers-color-scheme does not follow a visitor who chooses light or dark; write "
    "light-dark(LIGHT, DARK) in the place of a colour"
)
FONTS = ("text-400.woff2", "text-600.woff2")
"""The two weights of the typeface of pages, drawings and clips."""
_FILE = re.compile(rb"""url\(\s*["']?([A-Za-z0-9][\w.-]*)["']?\s*\)""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_ATTRIBUTE = re.compile(
    r"'sitegen\.[a-z.]*\.?(?P<what>\w+) object' has no attribute '(?P<name>\w+)'"
)
_EXPORT = re.compile(r"the template '(?P<file>[^']+)' .*does not export the requested name")


@dataclass(frozen=True)
class Asset:
    """A file of the theme: its path in the built folder, named after its content."""

    uri: str
    data: bytes


@dataclass(frozen=True)
class Theme:
    """The shipped theme, and what lies in the author's folder `own` instead of its parts."""

    own: Path

    @cached_property
    def assets(self) -> Mapping[str, Asset]:
        """The files of the theme by name, the author's in the place of ours.

        Raises ConfigError for a name that could not be a link, PlatformError for a file that
        cannot be read.
        """
        _refuse_links(self.own)
        for path in _files(self.own):
            if path.name != _COLOURS and (hint := close_match(path.name, [_COLOURS])):
                raise ConfigError(f"{shown(path)}: changes nothing{hint}")
        paths = {path.name: path for path in _files(resource("static"))}
        paths |= {path.name: path for path in _files(self.own / "static")}
        found = {}
        for name, path in sorted(paths.items()):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{shown(path)}: name it with a-z, 0-9, - and _, as in style.css")
            with platform_errors(path, "read"):
                found[name] = path.read_bytes()
        colours = self.own / _COLOURS
        if colours.exists():
            found[STYLESHEET] += b"\n" + read_text(colours).encode()
        sheets = {name: found.pop(name) for name in list(found) if name.endswith(".css")}
        assets = {name: _asset(name, data) for name, data in found.items()}
        for name, data in sheets.items():
            assets[name] = _asset(name, _with_links(data, assets))
        return assets

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What is probably not as it should be in the author's stylesheets."""
        own = [path for path in _files(self.own / "static") if path.suffix == ".css"]
        return tuple(
            Diagnostic(shown(path), number, _OWN_NIGHT)
            for path in (*own, *(path for path in _files(self.own) if path.name == _COLOURS))
            for number, line in enumerate(read_text(path).splitlines(), 1)
            if "prefers-color-scheme" in line
        )

    @cached_property
    def engine(self) -> Mapping[str, Asset]:
        """What draws in a page, by name; its folder is named after all that is in it.

        Raises PlatformError for a file that cannot be read.
        """
        found = {}
        for path in _files(resource("static") / ENGINE):
            with platform_errors(path, "read"):
                found[path.name] = path.read_bytes()
        told = canonical_json({name: digest_bytes(data) for name, data in found.items()})
        folder = f"assets/{ENGINE}-{digest_bytes(told.encode())[:8]}"
        return {name: Asset(f"{folder}/{name}", data) for name, data in found.items()}

    def files(self, *, samples: bool) -> Mapping[str, bytes]:
        """What of it a site ships, by path; `samples` says whether a model draws in a page."""
        left_out = () if samples else (SAMPLER_STYLE, SAMPLER_SCRIPT)
        kept = [asset for name, asset in self.assets.items() if name not in left_out]
        kept += self.engine.values() if samples else ()
        return {asset.uri: asset.data for asset in kept}

    @cached_property
    def _templates(self) -> Path:
        """The folder of the author's templates, once it is looked over."""
        _refuse_links(self.own)
        _refuse_misspelt(self.own / "templates")
        return self.own / "templates"

    def render(self, name: str, **values: Any) -> str:
        """The text of a template; ConfigError tells where one of the author's goes wrong."""
        folder = self._templates
        environment = _environment(folder if folder.is_dir() else None)
        try:
            return environment.get_template(name).render(values)
        except (TemplateError, *FAILURES) as error:
            place = _place(error, folder)
            if place is None:
                raise
            raise ConfigError(f"{place}: {_reason(error)}") from error


def _asset(name: str, data: bytes) -> Asset:
    stem, _, suffix = name.rpartition(".")
    return Asset(f"assets/{stem}-{digest_bytes(data)[:8]}.{suffix}", data)


def _with_links(sheet: bytes, assets: Mapping[str, Asset]) -> bytes:
    """Return a stylesheet in which `url(NAME)` names files of the theme as they are published."""

    def link(found: re.Match[bytes]) -> bytes:
        asset = assets.get(found[1].decode())
        return f'url("{PurePosixPath(asset.uri).name}")'.encode() if asset else found[0]

    return _FILE.sub(link, sheet)


def site_theme(site: Site) -> Theme:
    """The theme of a site."""
    return Theme(site.root / FOLDER)


def _files(folder: Path) -> list[Path]:
    """The files in a folder, without hidden ones; none where there is no folder."""
    with platform_errors(folder, "read"):
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return [path for path in found if path.is_file() and not path.name.startswith(".")]


def _refuse_links(own: Path) -> None:
    with platform_errors(own, "read"):
        for path in sorted(own.rglob("*")) if own.is_dir() else []:
            require_inside(path, own.parent)


def _refuse_misspelt(folder: Path) -> None:
    """ConfigError for a template that nothing asks for and whose name is nearly one of ours."""
    known = {path.name for path in _files(resource("templates"))}
    own = _files(folder)
    for path in own:
        hint = close_match(path.name, known)
        others = (other for other in own if other != path)
        if path.name in known or not hint or any(path.name in read_text(o) for o in others):
            continue
        raise ConfigError(f"{shown(path)}: takes the place of no template{hint}")


@lru_cache(maxsize=8)
def _environment(own: Path | None) -> ImmutableSandboxedEnvironment:
    shipped = FileSystemLoader(resource("templates"))
    loaders = [FileSystemLoader(own)] if own else []
    environment = sandbox(
        loader=ChoiceLoader([*loaders, shipped, PrefixLoader({"sitegen": shipped})]),
        bytecode_cache=CompiledTemplates(resource("templates")),
    )
    environment.filters["random"] = seeded_choice
    return environment


def _place(error: Exception, folder: Path) -> str | None:
    """Where in the author's templates an error comes from, as file:line, or None where it is ours.

    That is the innermost line of theirs that it came through, if no Python of ours was at work
    behind it; or a file of theirs that lacks what one of ours asks of it.
    """
    if isinstance(error, TemplateSyntaxError):
        inside = error.filename is not None and folder in Path(error.filename).parents
        return f"{shown(Path(str(error.filename)))}:{error.lineno}" if inside else None
    lacking = _EXPORT.match(str(error))
    if lacking is not None and (folder / lacking["file"]).is_file():
        return shown(folder / lacking["file"])
    found, limit = None, isinstance(error, LIMITS)
    for frame, line in walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if folder in file.parents:
            found = f"{shown(file)}:{line}"
        elif not limit and str(frame.f_globals.get("__name__")).startswith("sitegen."):
            found = None
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, TemplateNotFound):
        return f'there is no template "{error.name}"'
    lacking = _ATTRIBUTE.fullmatch(str(error))
    if lacking is not None:
        return f'{lacking["what"]} has no "{lacking["name"]}"; its fields are in the manual, views'
    return reason_of(error)
