"""What a page shows of an interpolation: the clip with its panels, walked by its points."""

from __future__ import annotations

from dataclasses import replace

from sitegen.figures.views import Clip, clip_view, sequence, whole
from sitegen.media.manifest import Media


def path_view(media: Media, page: str) -> Clip:
    """The clip; where it goes there and back, the scrubber walks its points and tells them, too."""
    noted, clip = media.record.parameters, clip_view(media, page)
    panels = tuple(str(each) for each in sequence(noted.get("panels")))
    points, hold = whole(noted, "points"), whole(noted, "hold")
    if points < 2 or 2 * (points + hold) != clip.steps.last + 1:
        return replace(clip, panels=panels)
    return replace(clip, panels=panels, steps=replace(clip.steps, points=points, hold=hold))
