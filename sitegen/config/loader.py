"""`site.toml` read into a frozen `Site`; everything that is wrong with it is told at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sitegen.config.schema import GONE, Site
from sitegen.core.diagnostics import config_error, toml_diagnostics
from sitegen.core.source import parse_toml, read_text, shown, toml_lines


def load_site(path: Path) -> Site:
    """Read `site.toml`; ConfigError names everything that is wrong, one line a problem."""
    return parse_site(read_text(path), path)


def parse_site(text: str, path: Path) -> Site:
    """Read the text of a `site.toml` that stands, or is to stand, at `path`; as `load_site`."""
    data = parse_toml(text, shown(path))
    try:
        site = Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        raise config_error(toml_diagnostics(error, Site, text, shown(path), GONE)) from error
    site._file, site._lines = shown(path), toml_lines(text)
    return site
