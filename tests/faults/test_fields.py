"""No key is read in vain: another value at any key of a site or a figure changes what is built."""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from PIL import Image, ImageOps
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sitegen.config.schema import Author, Building, Citation, Link, ModelEntry, Site
from sitegen.core.diagnostics import fields_of
from sitegen.core.errors import SitegenError
from sitegen.figures.registry import figure_kinds
from tests.support.builders import CARD, Builder, FakeRenderer, tree_hash, write_page
from tests.support.builders import write_site as write
from tests.support.sweeping import LOG, counted
from tests.support.tinymodel import add_example, write_ddpm, write_model

Table = Mapping[str, Any]
Made = tuple[object, object]
SITE: dict[str, Any] = {
    "title": "A title",
    "base_url": "https://example.org/site/",
    "authors": [{"name": "Ann"}],
    "links": [{"label": "Paper", "url": "https://example.org/paper.pdf"}],
    "models": {"tiny": {"path": "models/tiny"}},
    "citation": {"key": "ann", "year": 2026},
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


CHOICES: dict[str, list[str]] = {
    "model": ['"other"'],
    "label": ['"Words"'],
    "ddpm": ['"noisy"'],
    "ddim_steps": ["3"],
    "image": ['"picture.png"'],
    "columns": ["3", "2"],
    "leaves": ["2", "4"],
    "splits": ["(2, 1)", "(3,)", "(1,)"],
    "sampling_noise_std": ["0.5"],
    "fps": ["12.0", "20.0"],
    "vary": ['"colour"', '"brightness"'],
    "samples": ["(2, 3)", "(3,)", "(1, 2)", "(1, 2, 3)", "(1, 2, 3, 4, 5, 6, 7, 8, 9)"],
    "chosen_from": ["50"],
    "also": [],
    "grow": ["True"],
    "pixelated": ["True"],
}
"""Other values for what has no default that tells them."""
WORDS_ALONE = {"label", "chosen_from", "grow"}
"""Arguments that a page shows and a picture does not."""
SAME = {
    ("sampler", "also"): "its files are really exported: tests/browser/test_sampler_in_browser.py",
    ("shared_initial_state", "around"): "it is for a model without randomness after the start: "
    "tests/e2e/figures/test_keys.py",
    ("spectra", "pixelated"): "a plot shows no pictures that could be enlarged",
    ("shared_noise", "vary"): "a model of grey images varies in nothing but brightness",
    **{
        (kind, name): "it is for a model with labels: tests/e2e/figures/test_keys.py"
        for kind in figure_kinds()
        for name in ("labels", "guidance")
    },
}
"""Arguments that cannot be tried with the models here, and why."""


def choices(name: str, field: FieldInfo) -> Iterator[str]:
    """Values for an argument that are not its default."""
    if name in CHOICES:
        yield from CHOICES[name]
        return
    options = typing.get_args(field.annotation)
    if field.annotation is int:
        yield from (str(field.default + step) for step in (1, -1, 2, -2))
    for option in options:
        if isinstance(option, str) and option != field.default:
            yield f'"{option}"'


def fields_of_kind(kind: str) -> Mapping[str, FieldInfo]:
    """The arguments of a kind."""
    return fields_of(figure_kinds()[kind])


def small(kind: str) -> dict[str, str]:
    """What every call of a kind says here, so that a real one takes a moment."""
    fields = fields_of_kind(kind)
    least = {"points": "4", "hold": "2", "pairs": "2", "ddim_steps": "2", "levels": "2"}
    least |= {"count": "4"} if kind not in ("shared_noise",) else {"count": "3"}
    least |= {"columns": "3"} if kind == "process" else {}
    return {name: value for name, value in least.items() if name in fields}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A site with three models; real ones, really sampled, in a sweep."""
    root = tmp_path_factory.mktemp("arguments") / "site"
    models = "".join(f'[models.{n}]\npath = "models/{n}"\n' for n in ("tiny", "other", "noisy"))
    config = write(root, site=f'title = "A"\n{models}')
    for name, spoil in {"tiny": 0.0, "other": 0.1}.items():
        add_example(write_model(root / "models" / name, spoil=spoil))
    write_ddpm(root / "models/noisy")
    with Image.open(root / "models/tiny/example.png") as example:
        ImageOps.mirror(example).rotate(90).save(root / "picture.png")
    if not LOG:
        return Builder(config)
    from sitegen.builder.render import FigureRenderer
    from sitegen.media.encoder import encode_clip

    class Sampling(FakeRenderer):
        def __call__(self, *about):  # type: ignore[no-untyped-def]  # as the one it stands for
            return FigureRenderer(*about)

    return Builder(config, Sampling(), encode=encode_clip)


def media(site: Builder, kind: str, arguments: Mapping[str, str]) -> Made:
    """The digests of what is made for a call, and all that is told of it."""
    named = {name: value for name, value in arguments.items() if name != "model"}
    said = ", ".join(f"{name}={value}" for name, value in {**named, "id": '"a"'}.items())
    model = arguments.get("model", '"tiny"')
    write_page(site.config, f"{{{{ {kind}({model}, {said}) }}}}\n")
    site()
    (entry,) = site.figures
    files = {name: about["sha256"] for name, about in entry["files"].items()}
    return files, entry


ARGUMENTS = [(kind, name) for kind in figure_kinds() for name in fields_of_kind(kind)]


@pytest.fixture(scope="module")
def plain() -> dict[tuple[str, str], Made]:
    """What calls without another value make, by kind and call: they serve several arguments."""
    return {}


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
def test_another_argument_changes_the_figure(
    shown: Builder, plain: dict[tuple[str, str], Made], kind: str, name: str
) -> None:
    """Another value of any argument changes what is told of the figure; in a sweep, its pixels."""
    base = usual(kind, name)
    call = kind, str(base)
    plain[call] = plain.get(call) or media(shown, kind, base)
    changes_it(shown, plain[call], (kind, name), base, fields_of_kind(kind)[name])


def usual(kind: str, name: str) -> dict[str, str]:
    """The other arguments of a call that tries one."""
    beside = {"leaves": {"leaves": "8"}, "chosen_from": {"samples": "(1, 2, 3, 4)"}}
    beside |= {"ddim_steps": {"ddpm": '"noisy"', "ddim_steps": "2"}}
    base = {**small(kind), **beside.get(name, {})}
    if "samples" in base or name == "samples":
        base.pop("count", None)
    if "samples" in base and kind in ("process", "hierarchy", "interpolation", "shared_noise"):
        base["samples"] = "(3,)" if kind == "process" else "(3, 4)"
    return base


def changes_it(
    shown: Builder,
    before: Made,
    about: tuple[str, str],
    base: Mapping[str, str],
    field: FieldInfo,
) -> None:
    """One of the values of an argument makes another figure, or the argument is listed."""
    (kind, name), accepted = about, 0
    for value in choices(name, field):
        try:
            pixels, told = media(shown, kind, {**base, name: value})
        except SitegenError:
            continue
        accepted += 1
        if told == before[1]:
            continue
        if LOG and name not in WORDS_ALONE and about not in SAME:
            assert pixels != before[0], (*about, value)
        counted("arguments of figures: another value changes the figure", 1)
        return
    assert about in SAME, f"{about}: {accepted} other values were taken, and changed nothing"
