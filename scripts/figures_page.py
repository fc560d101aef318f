"""Write docs/pages/figures.md from the kinds of figures that there are: `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sitegen.figures import KINDS
from sitegen.kinds.base import Spec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "pages" / "figures.md"
MODEL = "mnist"

_INTRO = """\
# Figures

Every kind of figure that a page can call, with its picture and its arguments. This page is written
from the code by `make docs`. The first argument stands without a name, all others have theirs;
`caption`, `alt` and `id` can be given to every figure.

"""


def figures_page() -> str:
    """The text of the page."""
    return _INTRO + "\n".join("\n".join(_section(name, kind)) for name, kind in KINDS.items())


def _section(name: str, kind: type[Spec]) -> Iterator[str]:
    """What a kind shows, its call, the figure itself and a table of its arguments."""
    call = f"{{{{ {name}({kind.example.replace('NAME', MODEL)}) }}}}"
    yield f"## `{name}`\n"
    yield f"{(kind.__doc__ or '').splitlines()[0]}\n"
    yield f"{{% raw %}}\n```markdown\n{call}\n```\n{{% endraw %}}\n"
    yield f"{call}\n"
    yield "| argument | default | meaning |\n| --- | --- | --- |"
    for argument, field in kind.__pydantic_fields__.items():  # type: ignore[attr-defined]
        default = "needed" if field.is_required() else f"`{field.default!r}`".replace("'", '"')
        yield f"| `{argument}` | {default} | {field.description} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(figures_page(), encoding="utf-8")
