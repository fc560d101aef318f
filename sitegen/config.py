"""`site.toml` read into a frozen `Site`; everything that is wrong with it is told at once.

A key is one field of a table below, with one sentence that says what it is for: that sentence is
what an author is shown. Paths start at the folder of `site.toml`, links at the root of the site.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from sitegen.fields import HostName, Slug, Text, Url, WebUrl, told_as, unless
from sitegen.ihdm.card import presets
from sitegen.ihdm.foreign import tells_itself
from sitegen.problems import Problem, close_match, known_words, rule, told
from sitegen.resources import resource
from sitegen.source import KeyPath, odd_character, read_text, shown, toml_lines


def _root(info: ValidationInfo) -> Path:
    """The folder of `site.toml`, which travels beside the values as pydantic's context."""
    return Path((info.context or {}).get("root", Path.cwd()))


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("should be a path in quotes")
    if len(str(value)) > 1000 or odd_character(str(value)) or "\n" in str(value):
        raise ValueError("should be a path of at most 1000 characters on one line")
    return Path(value)


def _existing(value: object, info: ValidationInfo) -> Path:
    """Find what a model's path names: beside `site.toml`, or among what travels with sitegen."""
    path = _path(value)
    own = _root(info) / path
    if own.is_dir() or own.is_file():
        return own
    if info.field_name == "path" and (info.data.get("card") or info.data.get("preset")):
        return own  # a checkpoint whose card is known may come later
    if path.parts[0] != "models":
        raise ValueError(f"is not there; looked for {shown(own)}{_nearest(own)}")
    shipped = resource("models").parent / path
    if shipped.is_dir() or shipped.is_file():
        return shipped
    looked = f"{shown(own)} and {shown(shipped)}"
    raise ValueError(f"is not there; looked for {looked}{_nearest(own, shipped)}")


def _nearest(*paths: Path) -> str:
    """Hint at a file or folder that lies where one of these should, with a name like its own."""
    beside = {each.name for path in paths if path.parent.is_dir() for each in path.parent.iterdir()}
    return close_match(paths[0].name, sorted(beside - {"site.toml"}))


def _own_folder(value: object, info: ValidationInfo) -> Path:
    """Resolve a folder that sitegen fills, and keep it away from what the author wrote."""
    path, root = _path(value), _root(info)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(path):
        raise ValueError("should be a folder inside the site's own folder")
    used = [root / "pages", root / "theme", root / "site.toml", info.data.get("output")]
    used += [entry.path for entry in info.data.get("models", {}).values()]
    for other in filter(None, used):
        if root / path in (other, *other.parents) or other in (root / path).parents:
            raise ValueError(f"should not overlap with {shown(other)}")
    return root / path


def _language(text: str) -> str | None:
    tag = re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", text)
    return None if tag else "should be a language tag such as en or pt-BR"


def _citation_key(text: str) -> str | None:
    key = re.fullmatch(r"[A-Za-z0-9:_-]{1,64}", text)
    return None if key else "should be 1 to 64 letters of English, digits, :, _ and -"


def _preset_fault(name: str) -> str | None:
    return None if name in presets() else f"no such preset{known_words(name, presets())}"


_TAG = told_as("a language tag", "^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")
_KEY = told_as("letters of English, digits, :, _ and -", "^[A-Za-z0-9:_-]{1,64}$")

Language = Annotated[str, unless(_language), _TAG]
CitationKey = Annotated[str, unless(_citation_key), _KEY]
PresetName = Annotated[str, unless(_preset_fault)]
Existing = Annotated[Path, BeforeValidator(_existing)]
OwnFolder = Annotated[Path, BeforeValidator(_own_folder)]
Icon = Literal["code", "data", "page", "paper", "poster", "video"]


class _Table(BaseModel):
    """What holds for every table: no unknown keys, no changes afterwards, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Author(_Table):
    """One of `[[authors]]`."""

    name: Text = Field(description="The author's name as printed.")
    url: Url | None = Field(None, description="The author's own page.")
    affiliation: Text | None = Field(None, description="Where the author works.")


class Link(_Table):
    """One of `[[links]]`: a button under the title."""

    label: Text = Field(description="The words on the button.")
    url: Url = Field(description="Where the button leads.")
    icon: Icon | None = Field(None, description="The picture on the button.")


class Citation(_Table):
    """`[citation]`: how to cite the paper in BibTeX."""

    key: CitationKey = Field(description="The key of the BibTeX entry.")
    year: StrictInt = Field(ge=1900, le=2200, description="The year of publication.")
    type: Literal["article", "inproceedings", "misc"] = Field(
        "misc", description="The kind of BibTeX entry."
    )
    booktitle: Text | None = Field(None, description="The proceedings that the paper is in.")
    journal: Text | None = Field(None, description="The journal that the paper is in.")


class ModelEntry(_Table):
    """`[models.NAME]`: a model that pages can call by that name.

    A checkpoint with a card or a preset need not be there yet.
    """

    card: Existing | None = Field(None, description="The model card of a checkpoint file.")
    preset: PresetName | None = Field(
        None, description="The published configuration that a checkpoint file has."
    )
    path: Existing = Field(description="A folder with a model.toml, or a checkpoint file.")
    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The name that pages call the model by."""
        return self._name

    @property
    def card_path(self) -> Path:
        """The model card: the one named, or the `model.toml` in the model's folder.

        Where there is a preset, that is the card.
        """
        return self.card or self.path / "model.toml"

    @model_validator(mode="after")
    def _has_card(self) -> Self:
        if self.card and self.preset:
            raise ValueError("give a card or a preset, not both")
        there = self.preset or self.card_path.is_file() or tells_itself(self.path)
        if not there:
            lack = "the folder holds no model.toml" if self.path.is_dir() else "no model card"
            raise ValueError(f'{lack}; name one: card = "FILE.toml"')
        return self


def _frozen(models: Mapping[str, ModelEntry]) -> Mapping[str, ModelEntry]:
    return MappingProxyType(dict(models))


class Site(_Table):
    """The whole of `site.toml`."""

    title: Text = Field(description="The title of the paper.")
    description: Text | None = Field(
        None, description="One sentence for search engines and previews of links."
    )
    lead: Text | None = Field(None, description="The sentence that the front page opens with.")
    venue: Text | None = Field(None, description="Where the paper appeared.")
    language: Language = Field("en", description="The language of the pages, as in en or pt-BR.")
    base_url: WebUrl | None = Field(
        None,
        description="The address that the site is published at: canonical links, previews, the "
        "sitemap, and look and links of the page for wrong addresses need it.",
    )
    domain: HostName | None = Field(
        None, description="The domain of your own that GitHub Pages serves the site at."
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

    @property
    def root(self) -> Path:
        """The folder of `site.toml`, absolute."""
        return self._root

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
        return Site.model_validate(data, context={"root": path.absolute().parent})
    except ValidationError as error:
        lines = toml_lines(text)
        errors = error.errors(include_url=False)[:1000]  # nobody reads more
        found = [_problem(item, lines, shown(path)) for item in errors]
        found.sort(key=lambda problem: problem.line or 0)
        raise told(found) from error


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
        fault = f"is not TOML: {what[:1].lower()}{what[1:200]}"
        raise told([Problem(file, at, fault)]) from error


def _problem(error: Mapping[str, Any], lines: Mapping[KeyPath, int], file: str) -> Problem:
    """Put an error of pydantic into one line with the key and where it stands."""
    loc: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    at = next((lines[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in lines), None)
    known = {name: field.description or "" for name, field in _fields(loc).items()}
    return Problem(file, at, f"{_dotted(loc)}{rule(error, known)}")


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
