"""Jobs of clips, without an encoder."""

from sitegen.core.diagnostics import SourceLocation
from sitegen.figures.clips import clip_job
from sitegen.media.manifest import Cells
from tests.support.calling import make_figure
from tests.support.tinymodel import large_card

PLACE = SourceLocation("index.md", 1)


def test_a_clip_opens_on_the_finished_pictures_and_holds_them() -> None:
    """The last state is shown for a second, then every state in turn, then the last for two."""
    figure = make_figure("trajectories", ("ours",), {"count": 1, "fps": 4}, PLACE)
    card = large_card()
    job = clip_job(figure, card, Cells(1, 8, 8, 1), iter(()))
    assert job.clip is not None
    last = card.steps
    assert job.clip.order == (*[last] * 4, *range(last + 1), *[last] * 8)
    assert job.clip is not None
    frame_levels = [job.levels[number] for number in job.clip.order]
    assert frame_levels[:5] == [0, 0, 0, 0, card.visited_levels[0]]
    assert frame_levels[-1] == 0
    assert job.parameters["fps"] == 4
