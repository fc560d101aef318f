"""`site.toml`: read into a frozen `Site` with all its mistakes told at once, and edited."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sitegen.config.schema import GONE, SITES, Site, paper_names
from sitegen.core.diagnostics import Diagnostic, config_error, toml_diagnostics
from sitegen.core.errors import ConfigError
from sitegen.core.source import (
    page_name,
    page_sources,
    parse_toml,
    read_text,
    shown,
    toml_lines,
)
from sitegen.core.urls import slug_fault

_TAKEN = frozenset({"assets", "index", "media"})  # what the built folder has at its root


def load_site(path: Path) -> Site:
    """Read `site.toml`; ConfigError names everything that is wrong, one line a problem."""
    return parse_site(require_config(path), path)


def require_config(path: Path) -> str:
    """The text of `site.toml`; ConfigError says what to do where there is none."""
    if not path.exists():
        raise ConfigError(
            f"{shown(path)}: there is no such file; go to the folder of your site, name its file "
            "with --config, or begin a site with `sitegen new DIR`"
        )
    return read_text(path)


def load_papers(roof: Site) -> tuple[Site, ...]:
    """The papers in the folder `sites/` of a site, in their order; ConfigError as `load_site`.

    Their names become folders of the roof, so those of its own folders are refused.
    """
    faults: list[object] = []
    papers = []
    pages = {page_name(path) for path in page_sources(roof.root / "pages")}
    for name in dict.fromkeys((*roof.papers, *paper_names(roof.root))):
        config = roof.root / SITES / name / "site.toml"
        fault = slug_fault(name)
        if name in pages or name in _TAKEN:
            fault = "has the name of a page" if name in pages else "is a name sitegen uses itself"
        if fault:
            faults.append(Diagnostic(shown(config.parent), None, f"{fault}; rename the folder"))
            continue
        try:
            papers.append(_paper(config).under(roof, name))
        except ConfigError as error:
            faults += error.problems or [error]
    if faults:
        raise config_error(faults)
    return tuple(papers)


def _paper(config: Path) -> Site:
    site = load_site(config)
    if within := paper_names(site.root):
        place = config.parent / SITES / within[0]
        raise ConfigError(f"{shown(place)}: stands under a roof that is under another; move it up")
    return site


def parse_site(text: str, path: Path) -> Site:
    """Read the text of a `site.toml` that stands, or is to stand, at `path`; as `load_site`."""
    data = parse_toml(text, shown(path))
    try:
        site = Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        raise config_error(toml_diagnostics(error, Site, text, shown(path), GONE)) from error
    site._file, site._lines = shown(path), toml_lines(text)
    return site


def with_model(text: str, name: str, entry: Mapping[str, str]) -> str:
    """The text, valid TOML, with a table `[models.NAME]` after those of the other models.

    Raises ConfigError, with what to write by hand, where the text leaves no place for it.
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
    """The table below the last line that says something of a model."""
    lines = toml_lines(text)
    last = max((line for path, line in lines.items() if path[0] == "models"), default=0)
    before, after = text.split("\n")[:last], "\n".join(text.split("\n")[last:])
    between = "\n" if after.strip("\n") and not after.startswith("\n") else ""
    return "\n".join([*before, "", table]) + between + (after if after.strip("\n") else "")


def _is_only_added(text: str, changed: str, name: str, entry: Mapping[str, str]) -> bool:
    """Whether the change adds the table, and every line that was there is there, in its order."""
    wanted = tomllib.loads(text)
    wanted["models"] = {**wanted.get("models", {}), name: dict(entry)}
    try:
        found = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        return False
    lines = iter(changed.split("\n"))
    return found == wanted and all(line in lines for line in text.rstrip().split("\n"))
