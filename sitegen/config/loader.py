"""Parsing of `site.toml` into a frozen `Site`, with all errors at once; and editing."""

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
    site._file, site._lines = shown(path), toml_lines(text)
    return site


def with_model(text: str, name: str, entry: Mapping[str, str]) -> str:
    """Return the text, valid TOML, with a table `[models.NAME]` after those of other models.

    Raises ConfigError, with what to write by hand, if no table can be added to the text.
    """
    import tomlkit

    plain = text.replace("\r\n", "\n")
    pairs = [f"{key} = {tomlkit.item(value).as_string()}" for key, value in entry.items()]
    table = "\n".join([f"[models.{name}]", *pairs, ""])
    for changed in (_after_the_models(plain, table), plain.rstrip("\n") + f"\n\n{table}"):
        if _is_only_added(plain, changed, name, entry):
            return changed.replace("\n", "\r\n") if "\r\n" in text else changed
    raise ConfigError(
        f"there is no place for a table [models.{name}]; write into models: "
        f"{name} = {{ {', '.join(pairs)} }}"
    )


def _after_the_models(text: str, table: str) -> str:
    """Return the text with the table after the last line that belongs to a model."""
    lines = toml_lines(text)
    last = max((line for path, line in lines.items() if path[0] == "models"), default=0)
    before, after = text.split("\n")[:last], "\n".join(text.split("\n")[last:])
    between = "\n" if after.strip("\n") and not after.startswith("\n") else ""
    return "\n".join([*before, "", table]) + between + (after if after.strip("\n") else "")


def _is_only_added(text: str, changed: str, name: str, entry: Mapping[str, str]) -> bool:
    """Return whether the change adds the table, and keeps every other line in its order."""
    wanted = tomllib.loads(text)
    wanted["models"] = {**wanted.get("models", {}), name: dict(entry)}
    try:
        found = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        return False
    lines = iter(changed.split("\n"))
    return found == wanted and all(line in lines for line in text.rstrip().split("\n"))
