"""The tables of `site.toml` beside the first one, and the kinds of values that they hold.

A key is one field of a table, with one sentence that says what it is for: that sentence is what an
author is shown. Paths start at the folder of `site.toml`, links at the root of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictInt,
    ValidationInfo,
    model_validator,
)

from sitegen.fields import Text, Url, told_as, unless
from sitegen.ihdm.card import presets
from sitegen.ihdm.foreign import tells_itself
from sitegen.problems import close_match, known_words, quoted
from sitegen.resources import resource
from sitegen.source import odd_character, shown


def site_root(info: ValidationInfo) -> Path:
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
    own = site_root(info) / path
    if own.is_dir() or own.is_file():
        return own
    if info.field_name == "path" and (info.data.get("card") or info.data.get("preset")):
        return own  # a checkpoint whose card is known may come later
    if path.parts[0] != "models":
        raise ValueError(f"is not there; looked for {shown(own)}{_nearest(own) or _card_of(own)}")
    shipped = resource("models").parent / path
    if shipped.is_dir() or shipped.is_file():
        return shipped
    looked = f"{shown(own)} and {shown(shipped)}"
    raise ValueError(f"is not there; looked for {looked}{_nearest(own, shipped) or _card_of(own)}")


def _nearest(*paths: Path) -> str:
    """Hint at a file or folder that lies where one of these should, with a name like its own."""
    beside = {each.name for path in paths if path.parent.is_dir() for each in path.parent.iterdir()}
    return close_match(paths[0].name, sorted(beside - {"site.toml"}))


def _card_of(path: Path) -> str:
    """Hint at what has to travel of a model's folder that lies on another machine."""
    if path.suffix:
        return ""
    return f"; where clips are only rendered {shown(path / 'model.toml')} is enough: add it to git"


def _own_folder(value: object, info: ValidationInfo) -> Path:
    """Resolve a folder that sitegen fills, and keep it away from what the author wrote."""
    path, root = _path(value), site_root(info)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(path):
        raise ValueError("should be a folder inside the site's own folder")
    used = {str(name): root / name for name in ("pages", "theme", "site.toml")}
    used |= {f"the model {name}": entry.path for name, entry in info.data.get("models", {}).items()}
    if "output" in info.data:
        output: Path = info.data["output"]
        used[f"output = {quoted(output.relative_to(root))}"] = output
    for name, other in used.items():
        if root / path in (other, *other.parents) or other in (root / path).parents:
            raise ValueError(f"should not overlap with {name}")
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


class Table(BaseModel):
    """What holds for every table: no unknown keys, no changes afterwards, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Author(Table):
    """One of `[[authors]]`."""

    name: Text = Field(description="The author's name as printed.")
    url: Url | None = Field(None, description="The author's own page.")
    affiliation: Text | None = Field(None, description="Where the author works.")


class Link(Table):
    """One of `[[links]]`: a button under the title."""

    label: Text = Field(description="The words on the button.")
    url: Url = Field(description="Where the button leads.")
    icon: Icon | None = Field(None, description="The picture on the button.")


class Citation(Table):
    """`[citation]`: how to cite the paper in BibTeX."""

    key: CitationKey = Field(description="The key of the BibTeX entry.")
    year: StrictInt = Field(ge=1900, le=2200, description="The year of publication.")
    type: Literal["article", "inproceedings", "misc"] = Field(
        "misc", description="The kind of BibTeX entry."
    )
    booktitle: Text | None = Field(None, description="The proceedings that the paper is in.")
    journal: Text | None = Field(None, description="The journal that the paper is in.")

    @model_validator(mode="after")
    def _has_its_place(self) -> Self:
        needed = {"article": "journal", "inproceedings": "booktitle"}.get(self.type)
        if needed and getattr(self, needed) is None:
            raise ValueError(f'type = "{self.type}" needs {needed} = "…"')
        return self


class ModelEntry(Table):
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
        if self.preset and (self.path / "model.toml").is_file():
            raise ValueError("the folder has a model card of its own; leave the preset out")
        there = self.preset or self.card_path.is_file() or tells_itself(self.path)
        if not there:
            lack = "the folder holds no model.toml" if self.path.is_dir() else "no model card"
            raise ValueError(f'{lack}; name one: card = "FILE.toml"')
        return self
