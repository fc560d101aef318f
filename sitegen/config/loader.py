"""Parsing of `site.toml` into a frozen `Site`, with all errors at once; and editing."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sitegen.config.schema import Site
from sitegen.core.diagnostics import config_error, toml_diagnostics
from sitegen.core.errors import ConfigError
from sitegen.core.source import parse_toml, read_text, shown, toml_lines


def load_site(path: Path) -> Site:
    """Read `site.toml`. Raises ConfigError that lists all problems, one line each."""
    return parse_site(require_config(path), path)


def require_config(path: Path) -> str:
    """Return the text of `site.toml`. Raises ConfigError with a way out if it is missing."""
    if not path.exists():
        raise ConfigError(
            f"{shown(path)}: there is no such file; go to the folder of your site, name its file "
            "with --config, or create a site with `sitegen new DIR`"
        )
    return read_text(path)


def parse_site(text: str, path: Path) -> Site:
    """Parse the text of a `site.toml` whose path is, or will be, `path`. Raises as `load_site`."""
    data = parse_toml(text, shown(path))
    try:
        site = Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        raise config_error(toml_diagnostics(error, Site, text, shown(path))) from error
    # Pydantic lets private attributes of a frozen model be set.
    site._file, site._lines = shown(path), toml_lines(text)
    return site


def with_model(text: str, name: str, entry: Mapping[str, str]) -> str:
    """Return the text, valid TOML, with a table `[models.NAME]` at its end.

    Raises ConfigError, with what to write by hand, if no table can be added to the text.
    """
    # Text, since tomlkit puts keys of the root that follow dotted keys into the new table (0.15).
    newline = "\r\n" if "\r\n" in text else "\n"
    pairs = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    changed = text.rstrip() + newline * 2 + newline.join([f"[models.{name}]", *pairs, ""])
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError:  # all models are in one inline table
        raise ConfigError(
            f"no table [models.{name}] can be added; write into models: "
            f"{name} = {{ {', '.join(pairs)} }}"
        ) from None
    return changed
