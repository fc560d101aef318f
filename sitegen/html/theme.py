"""The theme: templates, stylesheet, script and icon, each of which an author can override.

Overrides are in the folder of `site.toml`:

    theme/templates/NAME.html   replaces the template of that name; it can extend or import the
                                original as `sitegen/NAME.html`
    theme/static/NAME           replaces the file of that name in `static/`, or is an additional
                                file; stylesheets refer to such a file as url("NAME")
    theme/colours.css           rules that are appended to the stylesheet

Templates are the author's code, and get the values that docs/pages/views.md lists.
"""

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from traceback import walk_tb
from typing import Any

import jinja2
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemBytecodeCache,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)

from sitegen.config.schema import Site
from sitegen.core.errors import FAULTS, ConfigError
from sitegen.core.files import canonical_json, digest, digest_bytes, platform_errors
from sitegen.core.installed import resource
from sitegen.core.source import read_text, shown
from sitegen.html.figure_views import command, downloads, inline, notes, settings

FOLDER = "theme"
"""Name of the folder with the author's theme, next to `site.toml`."""

STYLESHEET, SCRIPT, SCHEME, ICON = "style.css", "script.js", "scheme.js", "icon.svg"
LIVE = {"sampler": "worker.js", "atlas": "map.js"}
"""Shapes of figures with live models: folders of `static/`, each with the module that a page loads.

Only pages with such a figure load the stylesheet of that name, and the sampler's script.
"""
_COLOURS = "colours.css"
FONTS = ("text-400.woff2", "text-600.woff2")
"""Font files of the two weights that every page loads."""
_FILE = re.compile(rb"""url\(\s*["']?([A-Za-z0-9][\w.-]*)["']?\s*\)""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_EXPORT = re.compile(r"the template '(?P<file>[^']+)' .*does not export the requested name")


@dataclass(frozen=True)
class Asset:
    """A file of the theme: its path in the built folder, named after its content."""

    uri: str
    data: bytes


@dataclass(frozen=True)
class Theme:
    """The shipped theme with the overrides in the author's folder `overrides`."""

    overrides: Path

    @cached_property
    def assets(self) -> Mapping[str, Asset]:
        """Return the files of the theme by name; the author's replace the shipped ones.

        Raises ConfigError for a name that cannot be used in a link, and PlatformError for a file
        that cannot be read.
        """
        paths = {path.name: path for path in _files(resource("static"))}
        paths |= {path.name: path for path in _files(self.overrides / "static")}
        contents = {}
        for name, path in sorted(paths.items()):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{shown(path)}: name it with a-z, 0-9, - and _, as in style.css")
            with platform_errors(path, "read"):
                contents[name] = path.read_bytes()
        if (colours := self.overrides / _COLOURS).exists():
            contents[STYLESHEET] += b"\n" + read_text(colours).encode()
        # Stylesheets last, since they hold the published names of the other files.
        sheets = {name: contents.pop(name) for name in list(contents) if name.endswith(".css")}
        assets = {name: _asset(name, data) for name, data in contents.items()}

        def link(url: re.Match[bytes]) -> bytes:
            asset = assets.get(url[1].decode())
            return f'url("{PurePosixPath(asset.uri).name}")'.encode() if asset else url[0]

        for name, data in sheets.items():
            assets[name] = _asset(name, _FILE.sub(link, data))
        return assets

    @cached_property
    def engine(self) -> Mapping[str, Asset]:
        """Return the modules of live models by folder and name, as in "sampler/worker.js".

        They import each other, so they are published in one folder, whose name has the digest of
        all files. Raises PlatformError for a file that cannot be read.
        """
        contents = {}
        for path in (path for name in LIVE for path in _files(resource("static") / name)):
            with platform_errors(path, "read"):
                contents[f"{path.parent.name}/{path.name}"] = path.read_bytes()
        digests = canonical_json({name: digest_bytes(data) for name, data in contents.items()})
        folder = f"assets/live-{digest_bytes(digests.encode())[:8]}"
        return {name: Asset(f"{folder}/{name}", data) for name, data in contents.items()}

    def files(self, *, samples: bool) -> Mapping[str, bytes]:
        """Return the files to publish, by path.

        samples: whether a page has a live model
        """
        left_out = [] if samples else [f"{name}.{type}" for name in LIVE for type in ("css", "js")]
        files = [asset for name, asset in self.assets.items() if name not in left_out]
        files += self.engine.values() if samples else ()
        return {asset.uri: asset.data for asset in files}

    def render(self, name: str, **values: Any) -> str:
        """Render a template; raise ConfigError with the line if one of the author's fails."""
        folder = self.overrides / "templates"
        environment = _environment(folder if folder.is_dir() else None)
        try:
            return environment.get_template(name).render(values)
        except (TemplateError, *FAULTS) as error:
            location = _place(error, folder)
            if location is None:
                raise
            reason = str(error) or type(error).__name__
            if isinstance(error, TemplateNotFound):
                reason = f'there is no template "{error.name}"'
            raise ConfigError(f"{location}: {reason}") from error


def _asset(name: str, data: bytes) -> Asset:
    stem, _, suffix = name.rpartition(".")
    return Asset(f"assets/{stem}-{digest_bytes(data)[:8]}.{suffix}", data)


def site_theme(site: Site) -> Theme:
    """Return the theme of a site."""
    return Theme(site.root / FOLDER)


def _files(folder: Path) -> list[Path]:
    """Return the visible files in a folder; empty if the folder is missing."""
    with platform_errors(folder, "read"):
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return [path for path in paths if path.is_file() and not path.name.startswith(".")]


@lru_cache(maxsize=8)
def _environment(folder: Path | None) -> Environment:
    shipped = FileSystemLoader(resource("templates"))
    author = [FileSystemLoader(folder)] if folder else []
    cache = None
    # Compiling the templates takes a quarter of the time of a build that changes nothing. They are
    # next to the shipped ones if permissions allow, unless `python -B` forbids compiled files.
    compiled = resource("templates") / "__pycache__"
    with suppress(OSError):
        compiled.mkdir(exist_ok=True)
    if os.access(compiled, os.W_OK) and not sys.dont_write_bytecode:
        # The options below decide the code, so this file is part of the name.
        made_by = jinja2.__version__, sys.implementation.cache_tag, digest(Path(__file__))
        name = f"%s.{digest_bytes(repr(made_by).encode())[:8]}"
        cache = FileSystemBytecodeCache(str(compiled), name)
    # autoescape=True, since select_autoescape() leaves files such as .svg and .html.j2 unescaped.
    environment = Environment(
        loader=ChoiceLoader([*author, shipped, PrefixLoader({"sitegen": shipped})]),
        bytecode_cache=cache,
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"inline": inline, "notes": notes}
    environment.globals |= {"command": command, "downloads": downloads, "settings": settings}
    return environment


def _place(error: Exception, folder: Path) -> str | None:
    """Return where in the author's templates an error occurred, as file:line, or None.

    The location is the innermost line of the author's templates in the traceback, unless sitegen's
    Python code was called from there. It can also be a template of the author that lacks a macro
    which a shipped template imports. None means that the error is in sitegen.
    """
    if isinstance(error, TemplateSyntaxError):
        inside = error.filename is not None and folder in Path(error.filename).parents
        return f"{shown(Path(str(error.filename)))}:{error.lineno}" if inside else None
    lacking = _EXPORT.match(str(error))
    if lacking is not None and (folder / lacking["file"]).is_file():
        return shown(folder / lacking["file"])
    location = None
    for frame, line in walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if folder in file.parents:
            location = f"{shown(file)}:{line}"
        elif str(frame.f_globals.get("__name__")).startswith("sitegen."):
            location = None
    return location
