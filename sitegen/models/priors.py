"""Priors for models that come without one, as published checkpoints do: made from their data."""

import os
from dataclasses import replace
from pathlib import Path

from sitegen.core.errors import RefusedError
from sitegen.core.files import digest_bytes, write_atomic
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard, read_card
from sitegen.generative.data.images import EXAMPLE_NAME, as_png, read_images
from sitegen.generative.data.prior import PRIOR_IMAGES, PRIOR_NAME, Prior, draw_places, make_prior
from sitegen.models.editing import update_card


def prior_and_example(card: ModelCard, data: Path) -> tuple[Prior, bytes]:
    """Make a prior of training images, and a PNG of the first of them as the model sees it.

    `data` is a folder of pictures, or MNIST-format files. `PRIOR_IMAGES` of the images are used, or
    all if there are fewer; of a folder only these and the first are read. Raises RefusedError when
    no usable images are there, or they do not fit the card.
    """
    more = 0  # images at the start that the bank does not keep

    def choose(count: int) -> list[int]:
        nonlocal more
        drawn = draw_places(count, PRIOR_IMAGES)
        more = int(0 not in drawn)
        return [0] * more + drawn

    channels = 3 if card.channels == 3 else None  # colour ones are not made grey in silence
    images = read_images(data, card.image_size, channels, choose)
    if images.shape[1:] != card.shape:
        data_images, model_images = (
            f"{w}×{h} pixels in {'grey' if c == 1 else 'colour'}"
            for c, h, w in (images.shape[1:], card.shape)
        )
        raise RefusedError(
            f"{data}: its images are {data_images} and do not fit the model, whose images are "
            f"{model_images}; give the images that it was trained on"
        )
    return make_prior(images[more:], card, PRIOR_IMAGES, data.name), as_png(images[0])


def add_prior(card_path: Path, data: Path) -> Path:
    """Make a prior from training images, write it next to a model's card, and name it there.

    Also write an example image if the card has none. Comments in the card are kept. Returns the
    path of the prior. Raises RefusedError as `prior_and_example` does, and for files of these names
    that the card does not name; PlatformError if the folder cannot be written.
    """
    card = read_card(card_path)
    # a folder may hold the cards of several models
    stem = "" if card_path.name == CARD_NAME else f"{card_path.stem}-"
    path, picture = (card_path.with_name(f"{stem}{name}") for name in (PRIOR_NAME, EXAMPLE_NAME))
    named = {part.file for part in (card.prior, card.example) if part}
    for file in (path, *([picture] if card.example is None else [])):
        if file.name not in named and os.path.lexists(file):
            raise RefusedError(
                f"{file}: is there already, and {card_path.name} does not name it; move it away"
            )
    prior, example = prior_and_example(card, data)
    changed = replace(card, prior=FileRef(path.name, prior.write(path)))
    if card.example is None:
        write_atomic(picture, example)
        changed = replace(changed, example=FileRef(picture.name, digest_bytes(example)))
    update_card(card_path, changed)
    return path
