"""`site.toml` read into a frozen `Site`; everything that is wrong with it is told at once.

A key is one field, with one sentence that says what it is for: that sentence is what an author is
shown. The other tables are in `tables`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    StrictInt,
    ValidationError,
    ValidationInfo,
)

from sitegen.fields import HostName, SiteUrl, Slug, Text
from sitegen.problems import Problem, known_words, quoted, rule, told
from sitegen.source import KeyPath, page_sources, read_text, shown, toml_lines
from sitegen.tables import (
    Author,
    Citation,
    Language,
    Link,
    ModelEntry,
    OwnFolder,
    Table,
    site_root,
)

_HINTS = {
    "cannot overwrite a value": "; the key stands in this table already",
    "invalid value": "; words stand in quotes, numbers and true or false without",
}


def _frozen(models: Mapping[str, ModelEntry]) -> Mapping[str, ModelEntry]:
    return MappingProxyType(dict(models))


def _own_host(domain: str | None, info: ValidationInfo) -> str | None:
    """Refuse a domain that `base_url` contradicts."""
    host = urlsplit(info.data.get("base_url") or "").hostname
    if domain and host not in {domain, None}:
        raise ValueError(f"base_url has the host {host}; leave one of them out")
    return domain


def _menu(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Refuse what is no page, and what stands there already."""
    pages = {path.stem for path in page_sources(site_root(info) / "pages")}
    others = pages - {"index"}
    for place, name in enumerate(names):
        if name == "index":
            raise ValueError("should not name the front page, which comes first anyway")
        if name in names[:place]:
            raise ValueError(f"names {quoted(name)} twice")
        if pages and name not in others:
            hint = known_words(name, others) if others else " in pages/"
            raise ValueError(f"there is no page {quoted(name)}{hint}")
    return names


class Site(Table):
    """The whole of `site.toml`."""

    title: Text = Field(description="The title of the paper.")
    description: Text | None = Field(
        None, description="One sentence for search engines and previews of links."
    )
    lead: Text | None = Field(None, description="The sentence that the front page opens with.")
    venue: Text | None = Field(None, description="Where the paper appeared.")
    language: Language = Field("en", description="The language of the pages, as in en or pt-BR.")
    base_url: SiteUrl | None = Field(
        None,
        description="The address that the site is published at: canonical links, previews, the "
        "sitemap, and look and links of the page for wrong addresses need it.",
    )
    domain: Annotated[HostName | None, AfterValidator(_own_host)] = Field(
        None, description="The domain of your own that GitHub Pages serves the site at."
    )
    menu: Annotated[tuple[Slug, ...], AfterValidator(_menu)] = Field(
        (), description="The pages in the order of the menu; the others follow by name."
    )
    page_budget: StrictInt = Field(
        300, ge=1, le=1_000_000, description="The kB that a page may fetch before a clip is played."
    )
    authors: tuple[Author, ...] = Field((), description="The authors, in the order printed.")
    links: tuple[Link, ...] = Field((), description="The buttons under the title.")
    models: Annotated[Mapping[Slug, ModelEntry], AfterValidator(_frozen)] = Field(
        default_factory=dict,
        validate_default=True,
        description="The models that pages can call, by name.",
    )
    citation: Citation | None = Field(None, description="How to cite the paper.")
    theme: Literal["paper"] = Field("paper", description="The look of the pages.")
    output: OwnFolder = Field(
        Path("build"), validate_default=True, description="The folder that the site is built in."
    )
    cache_dir: OwnFolder = Field(
        Path(".sitegen"), validate_default=True, description="The folder that keeps filmed clips."
    )
    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _file: str = PrivateAttr("site.toml")
    _lines: Mapping[KeyPath, int] = PrivateAttr(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder of `site.toml`, absolute."""
        return self._root

    def problem(self, key: KeyPath, fault: str) -> Problem:
        """What is wrong with the value of a key, with the line that it stands in."""
        return Problem(self._file, self._lines.get(key), f"{_dotted(key)}{fault}")

    def model_post_init(self, context: Any, /) -> None:
        """Keep the folder of the site, and tell each model its name."""
        self._root = Path((context or {}).get("root", Path.cwd()))
        for name, entry in self.models.items():
            entry._name = name


def load_site(path: Path) -> Site:
    """Read `site.toml`; ConfigError names everything that is wrong, one line a problem."""
    return parse_site(read_text(path), path)


def parse_site(text: str, path: Path) -> Site:
    """Read the text of a `site.toml` that stands, or is to stand, at `path`; as `load_site`."""
    data = _parse(text, shown(path))
    try:
        site = Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        lines = toml_lines(text)
        errors = error.errors(include_url=False)[:1000]  # nobody reads more
        found = [_problem(item, lines, shown(path)) for item in errors]
        found.sort(key=lambda problem: problem.line or 0)
        raise told(found) from error
    site._file, site._lines = shown(path), toml_lines(text)
    return site


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise told([Problem(file, None, "is nested too deeply")]) from error
    except ValueError as error:
        what, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        last = text.rstrip().count("\n") + 1
        at = int(line[1]) if line else last if place else None
        words = f"{what[:1].lower()}{what[1:200]}"
        fault = f"is not TOML: {words}{_HINTS.get(words, '')}"
        raise told([Problem(file, at, fault)]) from error


def _problem(error: Mapping[str, Any], lines: Mapping[KeyPath, int], file: str) -> Problem:
    """Put an error of pydantic into one line with the key and where it stands."""
    loc: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    at = next((lines[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in lines), None)
    return Problem(file, at, f"{_dotted(loc)}{rule(error, _fields(loc))}")


def _fields(loc: KeyPath) -> Mapping[str, Any]:
    """Find the fields that are allowed in the table that a key stands in."""
    table: type[BaseModel] = Site
    for part in loc[:-1]:
        if part in table.model_fields:
            table = next(_tables(table.model_fields[str(part)].annotation), table)
    return table.model_fields


def _tables(annotation: Any) -> Any:
    """Yield the tables that a type holds, however deep inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)


def _dotted(loc: KeyPath) -> str:
    """Write a path of keys as TOML has it: `authors[1].url`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")
