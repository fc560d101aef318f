"""`site.toml`: its tables and the types of their values; parsing, with all errors at once.

Each key is a field of a table. Its description is one sentence, which authors see. Paths start at
the folder of `site.toml`, links at the root of the site.
"""

import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from sitegen.core.diagnostics import (
    Diagnostic,
    close_match,
    config_error,
    dotted,
    known_words,
    quoted,
    toml_diagnostics,
)
from sitegen.core.errors import ConfigError
from sitegen.core.installed import resource
from sitegen.core.source import (
    KeyPath,
    page_name,
    page_sources,
    parse_toml,
    read_text,
    shown,
    toml_lines,
)
from sitegen.core.urls import scheduler_fault
from sitegen.core.validation import (
    HostName,
    PageName,
    SiteUrl,
    Slug,
    Text,
    Url,
    described_as,
    reject_if,
)
from sitegen.generative.card.card import presets
from sitegen.generative.checkpoints.foreign import CONFIG_NAME

PROCESSES = "sitegen.processes"
"""Entry points by which packages bring samplers; a path names one as sitegen.processes:NAME."""
SAMPLER = re.compile(rf"(.+\.py|{re.escape(PROCESSES)}):([A-Za-z_]\w*)")
"""Matches the path of an author's sampler."""


_Names = TypeVar("_Names", bound=Collection[str])


def site_root(info: ValidationInfo) -> Path:
    """Return the folder of `site.toml`, which is passed as pydantic's context."""
    return Path((info.context or {}).get("root", "."))


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("should be a path in quotes")
    if len(str(value)) > 1000 or "\0" in str(value) or "\n" in str(value):
        raise ValueError("should be a path of at most 1000 characters on one line")
    return Path(value)


def _existing(value: object, info: ValidationInfo) -> Path:
    """Resolve a model's path: next to `site.toml`, or else among the models sitegen ships with.

    Returns the path next to `site.toml` if neither exists.
    """
    path, root = _path(value), site_root(info)
    is_checkpoint = info.data.get("card") or info.data.get("preset")
    is_shipped = info.field_name == "path" and not is_checkpoint
    candidates = _candidates(root / path, root) if is_shipped else [root / path]
    return next((path for path in candidates if path.exists()), candidates[0])


def _candidates(path: Path, root: Path) -> list[Path]:
    """Return where a model's path may lead: to itself, or to the shipped model of that name."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    shipped = [resource("models").parent / inside] if inside.parts[:1] == ("models",) else []
    return [path, *shipped]


def _missing_fault(path: Path, root: Path) -> str:
    """Return the message for a model's missing path, with a suggestion."""
    candidates = _candidates(path, root)
    folders = {candidate.parent for candidate in candidates if candidate.parent.is_dir()}
    siblings = {sibling.name for folder in folders for sibling in folder.iterdir()}
    hint = close_match(path.name, sorted(siblings - {"site.toml"}))
    if not hint and not path.suffix:
        card = shown(path / "model.toml")
        hint = f"; if clips are not rendered here {card} is enough: add it to git"
    return f"is not there; looked for {' and '.join(map(shown, candidates))}{hint}"


def _own_folder(value: object, info: ValidationInfo) -> Path:
    """Resolve a folder that sitegen writes to."""
    path = _path(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(path):
        raise ValueError("should be a folder inside the site's own folder")
    return site_root(info) / path


def _form(pattern: str, fault: str) -> AfterValidator:
    return reject_if(lambda text: None if re.fullmatch(pattern, text) else f"should be {fault}")


_TAG = "[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"
_KEY = "[A-Za-z0-9:_-]{1,64}"

Language = Annotated[
    str,
    _form(_TAG, "a language tag such as en or pt-BR"),
    described_as("a language tag", f"^{_TAG}$"),
]
CitationKey = Annotated[
    str,
    _form(_KEY, "1 to 64 English letters, digits, :, _ and -"),
    described_as("English letters, digits, :, _ and -", f"^{_KEY}$"),
]
PresetName = Annotated[
    str,
    reject_if(
        lambda name: None if name in presets() else f"no such preset{known_words(name, presets())}"
    ),
]
Existing = Annotated[Path, BeforeValidator(_existing)]
OwnFolder = Annotated[Path, BeforeValidator(_own_folder)]
Icon = Literal[
    "arxiv", "code", "data", "demo", "model", "page", "paper", "poster", "slides", "video"
]
EntryType = Literal[
    "article", "book", "incollection", "inproceedings", "mastersthesis", "misc", "phdthesis",
    "techreport", "unpublished",
]  # fmt: skip
BibtexField = Annotated[str, _form("[a-z][a-z-]{0,31}", "the name of a field, as in doi")]
ScriptUrl = Annotated[
    str,
    # Nothing that ends a source in a content policy.
    _form(r"https://[^\s'\";,<>]{1,2000}", "an address that begins with https://"),
]
DataAttribute = Annotated[str, _form("data-[a-z][a-z-]{0,40}", "an attribute such as data-domain")]


class TomlTable(BaseModel):
    """Base of all tables: no unknown keys, immutable, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Author(TomlTable):
    """Entry of `[[authors]]`."""

    name: Text = Field(description="The author's name as printed.")
    url: Url | None = Field(None, description="The author's own page.")
    affiliation: Text | None = Field(None, description="Where the author works.")
    affiliations: tuple[Text, ...] = Field(
        (), description="Where the author works, where there are several places."
    )
    equal: StrictBool = Field(
        False, description="Whether the author contributed equally with others who have this mark."
    )

    @property
    def places(self) -> tuple[str, ...]:
        """Where the author works, in the order given."""
        return (*([self.affiliation] if self.affiliation else []), *self.affiliations)


class Affiliation(TomlTable):
    """One of `[[affiliations]]`: more about a place where authors work."""

    name: Text = Field(description="The place, as authors name it.")
    url: Url | None = Field(None, description="The page of the place.")
    logo: Text | None = Field(None, description="A picture in the site's folder, shown in a row.")


class Link(TomlTable):
    """Entry of `[[links]]`: a button under the title."""

    label: Text = Field(description="The words on the button.")
    url: Url = Field(description="Where the button leads.")
    icon: Icon | None = Field(None, description="The picture on the button.")


class Citation(TomlTable):
    """Table `[citation]`: how to cite the paper in BibTeX."""

    key: CitationKey | None = Field(
        None, description="The key of the BibTeX entry, needed without verbatim."
    )
    year: StrictInt | None = Field(
        None, ge=1900, le=2200, description="The year of publication, needed without verbatim."
    )
    type: EntryType = Field("misc", description="The kind of BibTeX entry.")
    booktitle: Text | None = Field(None, description="The proceedings that the paper is in.")
    journal: Text | None = Field(None, description="The journal that the paper is in.")
    fields: Mapping[BibtexField, Text] = Field(
        default_factory=dict,
        description='Further fields of the entry, as in { doi = "10.48550/arXiv.2206.13397" }.',
    )
    verbatim: Text | None = Field(
        None, description="The whole entry as printed, in place of what the other keys make."
    )

    @model_validator(mode="after")
    def _has_its_place(self) -> Self:
        place = {"article": "journal", "inproceedings": "booktitle"}.get(self.type)
        for needed in ("key", "year", place):
            if needed and getattr(self, needed) is None and self.verbatim is None:
                raise ValueError(f'type = "{self.type}" needs {needed} = …, or a verbatim entry')
        return self


class Analytics(TomlTable):
    """Table `[analytics]`: the script of a service that counts visits; without it there is none."""

    script: ScriptUrl = Field(description="The address of the script.")
    attributes: Mapping[DataAttribute, Text] = Field(
        default_factory=dict,
        description='What the script is given, as in { data-domain = "example.org" }.',
    )


class ModelEntry(TomlTable):
    """Table `[models.NAME]`: a model that pages can call by that name.

    A checkpoint with a card or a preset may be missing. A model that no page calls may be missing
    altogether, as in a clone without the files that git ignores; see `missing_file`.
    """

    card: Existing | None = Field(None, description="The model card of a checkpoint file.")
    preset: PresetName | None = Field(
        None, description="The published configuration that a checkpoint file has."
    )
    # The last field: pydantic validates in this order, and its validator reads the two above.
    path: Existing = Field(
        description="A folder with a model.toml, a checkpoint file, or a sampler: FILE.py:CLASS."
    )
    _root: Path = PrivateAttr(Path())
    _name: str = PrivateAttr("")
    _missing_file: tuple[str, str] | None = PrivateAttr(None)

    @property
    def missing_file(self) -> tuple[str, str] | None:
        """Return the key whose file is missing, and the message; None if the model is readable."""
        return self._missing_file

    @property
    def name(self) -> str:
        """Name by which pages call the model."""
        return self._name

    @property
    def card_path(self) -> Path:
        """Path of the model card: the one named, or the `model.toml` in the model's folder.

        Not used if there is a preset.
        """
        return self.card or self.path / "model.toml"

    @property
    def sampler(self) -> tuple[str, str] | None:
        """Path or entry point group, and class, of an author's sampler; None for other models."""
        # `Existing` has joined the text of site.toml to the folder, which is undone here.
        match = SAMPLER.fullmatch(os.path.relpath(self.path, self._root))
        return (match[1], match[2]) if match else None

    @property
    def root(self) -> Path:
        """Folder of `site.toml`."""
        return self._root

    @model_validator(mode="after")
    def _has_card(self, info: ValidationInfo) -> Self:
        # A validator sees the folder of the site, and `model_post_init` of Site the names; both are
        # stored, since an entry is passed around without its site.
        self._root = site_root(info)
        if self.sampler is not None:
            if self.card or self.preset:
                raise ValueError("a sampler has neither card nor preset; remove it")
            return self
        if self.path.suffix == ".py":
            raise ValueError('path = "FILE.py" lacks the class; write path = "FILE.py:CLASS"')
        if self.card and self.preset:
            raise ValueError("give a card or a preset, not both")
        required = self.card or self.path
        if not self.preset and not required.exists():
            key = "card" if self.card else "path"
            self._missing_file = key, _missing_fault(required, self._root)
            return self
        if self.preset and (self.path / "model.toml").is_file():
            raise ValueError("the folder has its own model card; remove the preset")
        # Another program's configuration replaces a card.
        folders = (self.path, self.path / "unet") if self.path.is_dir() else (self.path.parent,)
        has_config = any((folder / CONFIG_NAME).is_file() for folder in folders)
        if not (self.preset or self.card_path.is_file() or has_config):
            lack = "the folder has no model.toml" if self.path.is_dir() else "no model card"
            raise ValueError(f'{lack}; name one: card = "FILE.toml"')
        return self


def _own_host(domain: str | None, info: ValidationInfo) -> str | None:
    host = urlsplit(info.data.get("base_url") or "").hostname
    if domain and host not in {domain, None}:
        raise ValueError(f"base_url has the host {host}; remove one of them")
    return domain


def _known(names: _Names, info: ValidationInfo) -> _Names:
    """Reject a name that is not a page's, unless the site, as it is written, has no other page."""
    pages = {page_name(path) for path in page_sources(site_root(info) / "pages")} - {"index"}
    for name in names:
        if pages and name not in {*pages, "index"}:
            raise ValueError(f"there is no page {quoted(name)}{known_words(name, pages)}")
    return names


def _menu(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if "index" in names:
        raise ValueError("should not name the front page, which comes first anyway")
    if len(set(names)) < len(names):
        raise ValueError("should name each page once")
    return _known(names, info)


SchedulerAddress = Annotated[str, reject_if(scheduler_fault)]


class Building(TomlTable):
    """Table `[build]`: where figures are rendered, which does not change them."""

    distributed: SchedulerAddress | None = Field(
        default=None,
        description="The address of the dask scheduler whose workers sample, as in "
        "tcp://10.0.0.7:8786; or local, for processes on this machine.",
    )


class Site(TomlTable):
    """All of `site.toml`."""

    title: Text = Field(description="The title of the paper.")
    description: Text | None = Field(
        None, description="One sentence for search engines and previews of links."
    )
    lead: Text | None = Field(None, description="The sentence that the front page opens with.")
    venue: Text | None = Field(None, description="Where the paper appeared.")
    language: Language = Field("en", description="The language of the pages, as in en or pt-BR.")
    base_url: SiteUrl | None = Field(
        None,
        description="The address that the site is published at, needed for canonical links, "
        "previews, and the style and links of the 404 page.",
    )
    # After base_url, which its validator reads.
    domain: Annotated[HostName | None, AfterValidator(_own_host)] = Field(
        None, description="Your own domain at which GitHub Pages serves the site."
    )
    menu: Annotated[tuple[PageName, ...], AfterValidator(_menu)] = Field(
        (), description="The pages in the order of the menu; the others follow by name."
    )
    menu_names: Annotated[Mapping[PageName, Text], AfterValidator(_known)] = Field(
        default_factory=dict, description="Short names of pages for the menu, by page name."
    )
    authors: tuple[Author, ...] = Field((), description="The authors, in the order printed.")
    affiliations: tuple[Affiliation, ...] = Field(
        (), description="Pages and logos of the places where authors work."
    )
    links: tuple[Link, ...] = Field((), description="The buttons under the title.")
    models: Mapping[Slug, ModelEntry] = Field(
        default_factory=dict, description="The models that pages can call, by name."
    )
    citation: Citation | None = Field(None, description="How to cite the paper.")
    analytics: Analytics | None = Field(None, description="The service that counts visits.")
    build: Building = Field(default_factory=Building, description="Where figures are rendered.")
    output: OwnFolder = Field(
        Path("build"), validate_default=True, description="The folder that the site is built in."
    )
    cache_dir: OwnFolder = Field(
        Path(".sitegen"), validate_default=True, description="The folder that keeps rendered clips."
    )
    _root: Path = PrivateAttr(Path())
    _file: str = PrivateAttr("site.toml")
    _text: str = PrivateAttr("")

    @property
    def root(self) -> Path:
        """Absolute path of the folder of `site.toml`."""
        return self._root

    def problem(self, key: KeyPath, fault: str) -> Diagnostic:
        """Return a diagnostic for the value of a key, with its line."""
        line = toml_lines(self._text).get(key)
        return Diagnostic(self._file, line, f"{dotted(key)}{fault}")

    def missing_models(self) -> Mapping[str, Diagnostic]:
        """Return diagnostics for the models whose folder or card is missing, by name."""
        missing_files = {name: entry.missing_file for name, entry in self.models.items()}
        return {
            name: self.problem(("models", name, missing[0]), f": {missing[1]}")
            for name, missing in missing_files.items()
            if missing
        }

    def model_post_init(self, context: Any, /) -> None:
        """Store the folder of the site, and the name of each model."""
        self._root = Path((context or {}).get("root", "."))
        for name, entry in self.models.items():
            entry._name = name


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
    site._file, site._text = shown(path), text
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
