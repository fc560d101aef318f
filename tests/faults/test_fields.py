"""No key is read in vain: another value at any key of a site changes what is built."""

from typing import Any

import pytest
from pydantic import BaseModel

from sitegen.config.schema import Analytics, Author, Building, Citation, Link, ModelEntry, Site
from tests.support.builders import CARD, Builder, tree_hash, write_page
from tests.support.builders import write_site as write
from tests.support.sweeping import counted

SITE: dict[str, Any] = {
    "title": "A title",
    "base_url": "https://example.org/site/",
    "authors": [{"name": "Ann"}],
    "links": [{"label": "Paper", "url": "https://example.org/paper.pdf"}],
    "models": {"tiny": {"path": "models/tiny"}},
    "citation": {"key": "ann", "year": 2026},
    "analytics": {"script": "https://example.org/count.js"},
}
OTHER: dict[str, Any] = {
    "Site.title": "Another",
    "Site.description": "What it is about.",
    "Site.lead": "The first sentence.",
    "Site.venue": "A conference",
    "Site.language": "de",
    "Site.base_url": "https://example.org/other/",
    "Site.domain": "example.org",
    "Site.menu": ["zoo", "more"],
    "Site.menu_names": {"zoo": "Animals"},
    "Site.authors": [{"name": "Ben"}],
    "Site.affiliations": [{"name": "Lab", "url": "https://example.org/lab"}],
    "Site.links": [{"label": "Code", "url": "https://example.org/code"}],
    "Site.models": {"tiny": {"path": "models/other"}},
    "Site.citation": {"key": "ann", "year": 2025},
    "Site.output": "public",
    "Site.cache_dir": "kept",
    "Author.name": "Ben",
    "Author.url": "https://example.org/ben",
    "Author.affiliation": "A university",
    "Author.affiliations": ["A university", "A laboratory"],
    "Author.equal": True,
    "Link.label": "Code",
    "Link.url": "https://example.org/code",
    "Link.icon": "code",
    "Citation.key": "ben",
    "Citation.year": 2025,
    "Citation.type": "inproceedings",
    "Citation.booktitle": "Proceedings",
    "Citation.journal": "A journal",
    "Citation.fields": {"doi": "10.1/2"},
    "Citation.verbatim": "@misc{ben}",
    "Site.analytics": {"script": "https://example.org/other.js"},
    "Analytics.script": "https://example.org/other.js",
    "Analytics.attributes": {"data-domain": "example.org"},
    "ModelEntry.path": "models/other/weights.safetensors",
    "ModelEntry.card": "other.toml",
}
"""Another value for each key."""
BESIDE: dict[str, dict[str, Any]] = {
    "Site.domain": {"base_url": None},
    "Site.affiliations": {"authors": [{"name": "Ann", "affiliations": ["Lab"]}]},
    "Citation.type": {"booktitle": "Proceedings"},
    "Citation.booktitle": {"type": "inproceedings", "booktitle": "Others"},
    "Citation.journal": {"type": "article", "journal": "Others"},
    "ModelEntry.path": {"card": "other.toml"},
    "ModelEntry.card": {
        "path": "models/tiny/weights.safetensors",
        "card": "models/tiny/model.toml",
    },
}
"""What must be said beside such a value, before and after."""
WITHOUT_EFFECT = {
    "Site.cache_dir": "where clips are kept decides nothing of the site",
    "Site.build": "where figures are rendered decides nothing of them",
    "Building.distributed": "likewise: tests/faults/test_cluster.py",
    "ModelEntry.preset": "it stands for a card, and is tried in tests/unit/models/test_registry.py",
}
"""Keys that change no byte of the site, and why."""
TABLES: dict[type[BaseModel], tuple[str | int, ...]] = {
    Site: (),
    Author: ("authors", 0),
    Link: ("links", 0),
    Citation: ("citation",),
    Analytics: ("analytics",),
    Building: ("build",),
    ModelEntry: ("models", "tiny"),
}
KEYS = [f"{table.__name__}.{name}" for table in TABLES for name in table.model_fields]


def toml(value: Any) -> str:
    """A value as TOML in a line."""
    if isinstance(value, dict):
        pairs = (f"{key} = {toml(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A site with three pages and two models that differ."""
    site = Builder(write(tmp_path_factory.mktemp("fields") / "site"))
    other = site.root / "models/other"
    other.mkdir()
    (other / "model.toml").write_text(CARD)
    for name in ("weights", "prior"):
        (other / f"{name}.safetensors").write_bytes(b"other")
    card = CARD.replace("levels = 4", "levels = 5").replace('"prior', '"models/tiny/prior')
    (site.root / "other.toml").write_text(card)
    for name in ("more", "zoo"):
        write_page(site.config, f"# {name.title()}\n\nText.\n", name)
    return site


def tree(site: Builder, key: str, *, other: bool) -> str:
    """What is built with a value at a key or without it, and with what must stand beside it."""
    values = {name: (dict(v) if isinstance(v, dict) else v) for name, v in SITE.items()}
    values |= {"authors": [{"name": "Ann"}], "links": [dict(SITE["links"][0])]}
    values |= {"models": {"tiny": {"path": "models/tiny"}}, "citation": dict(SITE["citation"])}
    values |= {"analytics": dict(SITE["analytics"])}
    table, name = key.split(".")
    place: Any = values
    for part in next(way for kind, way in TABLES.items() if kind.__name__ == table):
        place = place[part]
    place |= BESIDE.get(key, {})
    if other:
        place[name] = OTHER[key]
    lines = (f"{name} = {toml(value)}" for name, value in values.items() if value is not None)
    site.config.write_text("\n".join(lines) + "\n")
    site()
    folder = site.root / str(values.get("output", "build"))
    return tree_hash(folder)


def test_every_key_of_a_site_is_tried_or_listed() -> None:
    """A new key of `site.toml` has another value here, or a reason why it changes nothing."""
    assert set(KEYS) == set(OTHER) | set(WITHOUT_EFFECT)


def test_another_value_changes_the_site(author: Builder) -> None:
    """Another value at any key of `site.toml` changes a byte of the site, or is listed."""
    plain: dict[str, str] = {}
    for key in OTHER:
        table = key.split(".")[0] if key in BESIDE else ""
        said = f"{table} {BESIDE.get(key)}"
        plain[said] = plain.get(said) or tree(author, key, other=False)
        after = tree(author, key, other=True)
        if key == "Site.output":
            assert (author.root / "public/index.html").exists()
        else:
            assert (plain[said] != after) is (key not in WITHOUT_EFFECT), key
    counted("keys of site.toml: another value changes the site", len(OTHER))
