"""What keeps these tests quick: clips are not encoded, which the encoder's own tests see to."""

from collections.abc import Iterator
from functools import partial

import pytest

from sitegen.builder.pipeline import render_missing
from sitegen.server import rendering
from tests.support.builders import fake_encode


@pytest.fixture(scope="module", autouse=True)
def _fake_encoder() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "render_missing", partial(render_missing, encode=fake_encode))
        yield
