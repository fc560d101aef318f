"""The kind `gallery`: pictures and videos of the author, or samples in a file, in a grid.

Pictures are scaled and encoded once by `sample`, as other figures are rendered once. Each has a
small version for the page and a large one that opens; one that is small already has one version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, ValidationInfo
from pydantic.dataclasses import dataclass

from sitegen.core.diagnostics import quoted
from sitegen.core.site_files import LARGEST, VIDEOS, SiteFolder
from sitegen.core.validation import Caption
from sitegen.figures.arguments import FILE, RULES, UNDRAWN, ChosenFrom, Samples
from sitegen.figures.base import Figure, ModelFreeKind
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider

PICTURES = (".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
"""Endings of files that a gallery shows."""
OTHERS = (".avi", ".gif", ".heic", ".jxl", ".mkv", ".mov", ".svg")
"""Endings of pictures and videos that it refuses, in a folder as well."""
MOST, FEW = 200, 36
"""Items of a gallery at most, and those of a file of samples if their number is not given."""


def _found(names: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Return the files that an author names, with those of a folder in its place."""
    folder = SiteFolder(Path((info.context or {}).get("root") or "."))
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("should be a folder, a file, or a list of files, in quotes")
    files = list[str]()
    for name in map(str, names):
        file = name
        try:
            for file in folder.listed(name, (*PICTURES, *VIDEOS, *OTHERS)):
                folder.find(file, limit=None if file.endswith(ARRAYS) else LARGEST)
                files.append(file)
        except ValueError as error:
            fault = str(error) if names == (file,) else f"{quoted(file)} {error}"
            raise ValueError(fault) from None
    endings = (*PICTURES, *VIDEOS, *ARRAYS)
    if others := [file for file in files if not file.lower().endswith(endings)]:
        listed = ", ".join(endings)
        raise ValueError(f"{quoted(others[0])} does not end in {listed}; save it as one of them")
    if len(files) > 1 and any(file.lower().endswith(ARRAYS) for file in files):
        raise ValueError("a file of samples has a gallery of its own; call one for each")
    return tuple(files)


def _shown_count(files: Sequence[str], samples: Sequence[int] | None, count: int | None) -> int:
    """Return the number of items that a call shows; of a file of samples at most."""
    if samples is not None:
        return len(samples)
    return count or (FEW if files[0].endswith(ARRAYS) else len(files))


@dataclass(frozen=True, config=RULES)
class Gallery(ModelFreeKind):
    """Pictures and videos of your own, or samples in a file, in a grid or a row that scrolls."""

    example: ClassVar[str] = (
        '["FILE.png", "pictures/link.webp", "pictures/beside.webp"], columns=3, '
        'captions=["A digit", "A *copied* link", "Two methods"]'
    )

    files: Annotated[  # type: ignore[misc]  # the fields before are not of a call
        tuple[str, ...],
        BeforeValidator(_found),
        Field(
            min_length=1,
            description=(
                "A folder, a list of pictures and videos, or an .npz of samples: arr_0 "
                "(N, H, W, C), and labels arr_1."
            ),
            json_schema_extra=FILE,
        ),
    ]
    columns: Annotated[
        StrictInt,
        Field(
            ge=1, le=8, description="Items in a row; fewer on a phone.", json_schema_extra=UNDRAWN
        ),
    ] = 4
    carousel: Annotated[
        StrictBool,
        Field(description="Whether they are in one row that scrolls.", json_schema_extra=UNDRAWN),
    ] = False
    samples: Annotated[
        Samples, Field(description="The numbers of the items, from 0, where they are chosen.")
    ] = None
    # After samples, which its validator reads.
    chosen_from: ChosenFrom = None
    count: StrictInt | None = Field(
        default=None, ge=1, description="How many are shown, from the first; all if not given."
    )
    captions: Annotated[
        tuple[Caption, ...],
        Field(
            description="The words under each, in Markdown; classes of samples if not given.",
            json_schema_extra=UNDRAWN,
        ),
    ] = ()

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Not too many items, that are there, and a caption for each."""
        yield from super().unmet(cards)
        shown, total = _shown_count(self.files, self.samples, self.count), len(self.files)
        if shown > MOST:
            yield f"has {shown} items; at most {MOST}: give count="
        if self.samples is not None and self.count not in (None, len(self.samples)):
            yield f"count = {self.count}: there are {len(self.samples)} samples; leave it out"
        if not self.files[0].endswith(ARRAYS):
            if max(self.samples or (shown - 1,)) >= total:
                yield f"names more than the {total} files, which have the numbers 0 to {total - 1}"
            if self.captions and len(self.captions) != shown:
                yield f"captions: {len(self.captions)} for {shown} items; give one for each"

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job that scales and encodes the pictures, and copies the videos."""
        from sitegen.figures.gallery.sample import gallery_job, own_files, own_samples

        count = _shown_count(self.files, self.samples, self.count)
        if self.files[0].endswith(ARRAYS):
            numbers = self.samples or (range(count) if self.count else None)
            items = own_samples(figure, self.files[0], numbers, count, self.captions)
        else:
            items = own_files(figure, self.files, self.samples or range(count))
        return gallery_job(figure, items)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Return the number of items."""
        shown = _shown_count(self.files, self.samples, self.count)
        if self.files[0].endswith(ARRAYS):
            return f"{shown} samples in a grid"
        files = [self.files[number] for number in self.samples or range(shown)]
        videos = sum(file.lower().endswith(VIDEOS) for file in files)
        kinds = ((shown - videos, "picture"), (videos, "video"))
        counts = [f"{number} {kind}{'s' * (number > 1)}" for number, kind in kinds if number]
        return f"{' and '.join(counts)} in a grid"
