"""`sitegen train`."""

from __future__ import annotations

from typing import Any

import click

from sitegen.cli.options import console, talk_options
from sitegen.cli.train_options import train_options


@click.command()
@click.argument("name")
@train_options
@talk_options
def train(name: str, **options: Any) -> None:
    """Train a model on images, and write its weights, prior and card into a folder of that NAME.

    Killed or stopped by Ctrl-C, the same command goes on where the last saved state was. A finished
    run goes on when it is asked for more --images.

    \b
    Examples:
      sitegen train mnist --data .data/mnist
      sitegen train faces --data pictures/ --image-size 64 --images 3000000
      sitegen train mnist --data .data/mnist --preset mnist-small --output runs/published
      sitegen train mnist-ddpm --kind ddpm --data .data/mnist
    """
    from sitegen.cli.train_view import training_shown
    from sitegen.models.training import TrainOptions, train_model

    train_model(name, TrainOptions(**options), console(), training_shown)
