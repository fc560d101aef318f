"""Write what of the manual comes from the code, figures, config and views: `make docs` runs it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.reference import reference
from sitegen.content.embeds import EMBEDS as EMBED_CALLS
from sitegen.content.groups import GROUPS
from sitegen.figures.registry import figure_kinds
from sitegen.html import render, views
from sitegen.media import manifest

PAGES = Path(__file__).resolve().parent.parent / "docs" / "pages"
EXAMPLES = {"NAME": "mnist", "FILE.png": "pictures/digit.png"}
EMBEDS = {
    "image": '"pictures/digit.png", alt="A handwritten eight", width=112',
    "video": '"https://youtu.be/qY1juqIDT10", title="The video abstract of the paper"',
    "raw_html": '"own/square.html", caption="A square of SVG in a file of the author."',
    "table": '[["DDPM", 3.17], ["**Ours**", "**2.41**"]], columns=["Method", "FID"]',
}
_CLIPS = (
    'trajectories("mnist", count=4, seed=3, sampling_noise_std=0.0), '
    'trajectories("mnist", count=4, seed=3)'
)
_GROUPS = {
    "beside": _CLIPS,
    "tabs": f'{_CLIPS}, names=["δ = 0", "δ of the card"]',
    "grid": f'{_CLIPS}, columns=["δ = 0", "δ of the card"]',
    "compare": f'{_CLIPS}, names=["δ = 0", "δ of the card"]',
}
"""The calls of a page that show others in one place."""
"""The calls of a page that nothing is sampled for."""

_INTRO = """\
# Figures

Every kind of figure that a page can call, with its picture and its arguments. This page is written
from the code by `make docs`. The first argument stands without a name, all others have theirs;
`caption`, `alt` and `id` can be given to every figure.

"""


def made_pages() -> dict[str, str]:
    """The pages by name: figures, keys of site.toml, what templates get, what is promised."""
    return {
        "figures": figures_page(),
        "config": reference(),
        "views": views_page(),
    }


_VIEWS = """\
# What templates are given

`page.html` and `404.html` get `site`, the values of [site.toml](config/), and
`page`. A macro of the theme gets one of the values below. Files and settings of a figure are in its
`media`, as in `media.json`. Functions of all templates are `downloads(figure)` (label, link and
size of each file), `settings(media)` and `command(media)`. This page is written from the code by
`make docs`.

"""
_MEDIA = ("Media", "Record", "Cells", "TreeNode", "MediaFile", "ModelRef", "MediaAxis")


def views_page() -> str:
    """Every value that a template can meet, with its fields."""
    values: list[Any] = [
        value
        for _, value in inspect.getmembers(views, dataclasses.is_dataclass)
        if value.__module__ == views.__name__
    ]
    values += [getattr(manifest, name) for name in _MEDIA]
    page = "\n".join(_table("page", render.Book.view, []))
    return _VIEWS + "\n".join([page, *("\n".join(_view(value)) for value in values)])


def _table(name: str, documented: Any, fields: list[tuple[str, str]]) -> Iterator[str]:
    """What a value is, and a table of its fields, with what the docstring says of them."""
    text = inspect.getdoc(documented) or ""
    about, _, more = text.partition("\n\n")
    noted = re.findall(r"^([a-z_0-9, ]+): (.*(?:\n    .*)*)$", text, re.MULTILINE)
    meanings = {key: " ".join(said.split()) for keys, said in noted for key in keys.split(", ")}
    rest = [] if noted else more.split()
    yield f"## `{name}`\n"
    yield f"{' '.join([*about.split(), *rest])}\n"
    yield "| field | type | meaning |"
    yield "| --- | --- | --- |"
    for key, kind in fields or [(key, "") for key in meanings]:
        yield f"| `{key}` | {kind} | {meanings.get(key, '')} |"
    yield ""


def _view(view: Any) -> Iterator[str]:
    fields = [(f.name, str(f.type).replace("|", "\\|")) for f in dataclasses.fields(view)]
    yield from _table(view.__name__, view, fields)


def figures_page() -> str:
    """Every kind of figure, with its picture and its arguments."""
    sections = [
        "\n".join(_section(name, kind, kind.example)) for name, kind in figure_kinds().items()
    ]
    sections += [
        "\n".join(_section(name, call, EMBEDS[name])) for name, call in EMBED_CALLS.items()
    ]
    sections += ["\n".join(_section(name, GROUPS[name], call)) for name, call in _GROUPS.items()]
    return _INTRO + "\n".join(sections)


def _section(name: str, kind: Any, arguments: str) -> Iterator[str]:
    """What a kind shows, its call, the figure itself and a table of its arguments."""
    for placeholder, value in EXAMPLES.items():
        arguments = arguments.replace(placeholder, value)
    call = f"{{{{ {name}({arguments}) }}}}"
    yield f"## `{name}`\n"
    if name in figure_kinds() or name in _GROUPS:
        yield f"{(kind.__doc__ or '').splitlines()[0]}\n"
    else:
        yield f"Nothing is sampled for {name}: it is something of your own.\n"
    yield f"{{% raw %}}\n```markdown\n{call}\n```\n{{% endraw %}}\n"
    yield f"{call}\n"
    yield "| argument | default | meaning |\n| --- | --- | --- |"
    given = {field.name for field in dataclasses.fields(kind) if field.init}
    for argument, field in kind.__pydantic_fields__.items():
        if argument not in given:
            continue
        default = "needed" if field.is_required() else f"`{field.default!r}`".replace("'", '"')
        yield f"| `{argument}` | {default} | {field.description} |"
    yield ""


if __name__ == "__main__":
    for name, text in made_pages().items():
        (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
