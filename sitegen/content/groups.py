"""Figures, pictures, videos and tables in one place: a row, tabs, a grid or a comparison."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any, ClassVar, Literal, TypeAlias

from markupsafe import Markup
from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass as validated

from sitegen.content.embeds import Embed, TableCall
from sitegen.content.markdown import free_name
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.validation import Caption, Slug
from sitegen.figures.arguments import RULES
from sitegen.figures.base import Figure, checked_call

BESIDE, TABS, GRID, COMPARE = "beside", "tabs", "grid", "compare"
"""Page functions that show parts side by side, one at a time, in rows, or over one another with a
slider.
"""
_SHAPES_DIFFER = 1.02  # ratio of the aspects of two pictures from which one cannot cover the other

_CAPTION = Field(default="", description="The words under all of them.")
_ON_PHONES = "What they do on a phone: each row scrolls, or all stack."


@validated(frozen=True, config=RULES)
class BesideCall:
    """Parts side by side: figures, pictures, videos and tables."""

    counts: ClassVar[tuple[int, int]] = (2, 4)
    caption: Caption = _CAPTION
    phone: Literal["stack", "scroll"] = Field(default="stack", description=_ON_PHONES)


@validated(frozen=True, config=RULES)
class TabsCall:
    """Parts of which one is shown at a time, under tabs."""

    counts: ClassVar[tuple[int, int]] = (2, 6)
    caption: Caption = _CAPTION
    names: tuple[Caption, ...] = Field(
        default=(), description="The words on the tabs, one for each part."
    )


@validated(frozen=True, config=RULES)
class GridCall:
    """Parts in rows and columns with headings, as one figure."""

    counts: ClassVar[tuple[int, int]] = (2, 64)
    columns: StrictInt | tuple[Caption, ...] = Field(
        description='The number of columns, or their headings, as in ["Input", "Ours"].'
    )
    rows: tuple[Caption, ...] = Field(default=(), description="The headings of the rows.")
    caption: Caption = _CAPTION
    phone: Literal["stack", "scroll"] = Field(default="scroll", description=_ON_PHONES)
    id: Slug | None = Field(default=None, description="The grid's name in links.")


@validated(frozen=True, config=RULES)
class CompareCall:
    """Two parts over one another with a slider, as one figure."""

    counts: ClassVar[tuple[int, int]] = (2, 2)
    names: tuple[Caption, ...] = Field(
        default=("Before", "After"),
        min_length=2,
        max_length=2,
        description="The words on the left and the right part.",
    )
    caption: Caption = _CAPTION
    id: Slug | None = Field(default=None, description="The comparison's name in links.")


GROUPS: Mapping[str, Any] = {
    BESIDE: BesideCall,
    TABS: TabsCall,
    GRID: GridCall,
    COMPARE: CompareCall,
}
"""The arguments of each group, by its function."""


@dataclass(frozen=True)
class Group:
    """Parts of a page that are shown in one place.

    order: number of the group on its page, from 1
    parts: a placeholder of HTML stands for a figure that is not rendered yet
    names: inline Markdown on the tabs or both parts, or above the columns; may be empty
    columns: of a grid
    rows: inline Markdown beside the rows of a grid; may be empty
    phone: "stack" or "scroll"
    id, number: of a grid or comparison, which is one figure with parts a, b, …; else empty
    teaser: whether it is shown under the title
    """

    kind: str
    place: SourceLocation
    order: int
    parts: tuple["Figure | Embed | Markup", ...]
    caption: str = ""
    names: tuple[str, ...] = ()
    columns: int = 0
    rows: tuple[str, ...] = ()
    phone: str = "stack"
    id: str = ""
    number: str = ""
    teaser: bool = False

    @property
    def is_figure(self) -> bool:
        """Whether the group is one figure, with an id and a number."""
        return self.kind in (GRID, COMPARE)

    @property
    def base(self) -> str:
        """The default id of a group that has one."""
        return self.kind


Shown: TypeAlias = Figure | Embed | Group
"""Page content that is shown as a block."""


def make_group(
    kind: str,
    parts: Sequence[Figure | Embed],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    order: int,
) -> Group:
    """Check the arguments of a group; raise ConfigError with every error found."""
    (call,) = checked_call(kind, [GROUPS[kind]], (), kwargs, {}, place)
    group = Group(kind, place, order, tuple(parts), call.caption)
    match call:
        case BesideCall():
            return replace(group, phone=call.phone)
        case TabsCall():
            return replace(group, names=call.names)
        case CompareCall():
            return replace(group, names=call.names, id=call.id or "")
    names = () if isinstance(call.columns, int) else call.columns
    columns = call.columns if isinstance(call.columns, int) else len(names)
    group = replace(group, names=names, columns=columns, rows=call.rows)
    return replace(group, phone=call.phone, id=call.id or "")


def group_fault(group: Group) -> str | None:
    """Return what is wrong with the parts or headings of a group; None if nothing is."""
    fewest, most = GROUPS[group.kind].counts
    count = len(group.parts)
    if not fewest <= count <= most:
        expected = f"{fewest} to {most} figures" if most > fewest else f"{most} figures"
        return f"should be {expected}, and is {count}"
    if group.kind == TABS and group.names and len(group.names) != count:
        return f"has {len(group.names)} names for {count} figures"
    if group.kind == GRID and not 1 <= group.columns <= 8:
        return f"columns should be 1 to 8, and are {group.columns}"
    if group.kind == GRID and group.rows:
        rows = -(-count // group.columns)
        if len(group.rows) != rows:
            return f"has {len(group.rows)} headings for {rows} rows of {group.columns}"
    if group.kind == COMPARE:
        shapes = [part.shape for part in group.parts if isinstance(part, Embed)]
        kinds = {part.kind for part in group.parts if isinstance(part, Figure)}
        if None in shapes or kinds & {"atlas", "gallery", "sampler"}:
            return "should compare clips, drawings, pictures and videos of the site"
        return shapes_fault([shape for shape in shapes if shape])
    return None


def shapes_fault(shapes: Sequence[tuple[int, int]]) -> str | None:
    """Return that compared parts have different shapes, widths and heights; None if not."""
    ratios = [width / height for width, height in shapes]
    if max(ratios, default=1) <= _SHAPES_DIFFER * min(ratios, default=1):
        return None
    sizes = " and ".join(f"{width} × {height}" for width, height in shapes)
    return f"shapes differ, {sizes}; crop a picture, give a video its aspect, or figures one count"


def all_parts(body: Iterable[Shown | Markup]) -> Iterator[Shown | Markup]:
    """Yield the parts of a body in order, each group before its own parts."""
    for part in body:
        yield part
        if isinstance(part, Group):
            yield from part.parts


def with_parts(part: Shown | Markup, change: Callable[[Any], Any]) -> Any:
    """Return `change` of a part; of a group, with `change` of its own parts."""
    if isinstance(part, Group):
        part = replace(part, parts=tuple(map(change, part.parts)))
    return change(part)


def with_texts(part: Shown | Markup, change: Callable[[Any], str]) -> Any:
    """Return a part with `change` of each of its texts, which are called in a fixed order.

    The texts are captions, headings, names and cells of tables, but no HTML.
    """
    match part:
        case Markup():
            return part
        case Figure():
            texts = tuple(map(change, part.texts))
            return replace(part, caption=change(part.caption), texts=texts)
        case Embed():
            cells = tuple(tuple(map(change, row)) for row in part.cells)
            return replace(part, caption=change(part.caption), cells=cells)
    parts = tuple(with_texts(inner, change) for inner in part.parts)
    names, rows = tuple(map(change, part.names)), tuple(map(change, part.rows))
    return replace(part, parts=parts, names=names, rows=rows, caption=change(part.caption))


def numbered(body: Sequence[Shown | Markup]) -> tuple[list[Shown | Markup], dict[str, str]]:
    """Return a body with ids and numbers, and the names that links use, as "Figure 3a", by id.

    Figures without an id get a generated one: `mnist-trajectories`, `mnist-trajectories-2`, …
    Figures, pictures and tables with a caption, and grids have numbers from 1, the teaser first.
    Figures under tabs share a number, with letters, as do those in a grid; videos have none.
    """
    ids = {part.id for part in all_parts(body) if not isinstance(part, Markup)}

    def identified(part: Shown | Markup) -> Shown | Markup:
        if isinstance(part, Markup) or part.id or (isinstance(part, Group) and not part.is_figure):
            return part
        return replace(part, id=free_name(part.base, ids))

    def finished(part: Shown | Markup) -> Shown | Markup:
        if isinstance(part, Markup):
            return part
        return replace(part, number=numbers.get(part.id, ""))

    body = [with_parts(part, identified) for part in body]
    numbers: dict[str, str] = {}
    counts = Counter[str]()
    parts = [part for part in body if not isinstance(part, Markup)]
    parts.sort(key=lambda part: not part.teaser)
    for part in parts:
        members = part.parts if isinstance(part, Group) else (part,)
        shown = [
            m for m in members if isinstance(m, Figure) or (isinstance(m, Embed) and m.numbered)
        ]
        is_shared = isinstance(part, Group) and part.kind != BESIDE
        lettered = [member for member in shown if is_shared and noun(member) == "Figure"]
        for member in shown:
            if member not in lettered:
                counts[noun(member)] += 1
                numbers[member.id] = str(counts[noun(member)])
        if lettered or (isinstance(part, Group) and part.is_figure):
            counts["Figure"] += 1
            numbers |= {part.id: str(counts["Figure"])} if part.id else {}
        for at, member in enumerate(lettered):
            letters = ascii_lowercase[at // 26 - 1] * (at > 25) + ascii_lowercase[at % 26]
            numbers[member.id] = f"{counts['Figure']}{letters}"
    names = {
        part.id: f"{noun(part)} {numbers.get(part.id, '?')}"
        for part in all_parts(body)
        if not isinstance(part, Markup)
    }
    return [with_parts(part, finished) for part in body], names


def noun(part: Shown) -> str:
    """Return the noun before the number of a part."""
    return "Table" if isinstance(part, Embed) and isinstance(part.call, TableCall) else "Figure"
