"""Sheets of samples that are drawn while a model is trained."""

from pathlib import Path

from sitegen.core.files import write_atomic
from sitegen.generative.data.prior import make_prior
from sitegen.generative.process.kinds import process_of
from sitegen.generative.process.model import Model
from sitegen.generative.process.noise import independent
from sitegen.generative.process.protocol import run as run_process
from sitegen.generative.training.residual import residual_shares
from sitegen.generative.training.train import DRAWN, DRAWN_MEASURED, Run
from sitegen.media.contact_sheet import contact_sheet, png
from sitegen.media.frames import to_uint8

SHEET_NAME = "samples.png"


def draw_sheet(run: Run, name: str) -> Path:
    """Write samples of the averaged weights of a run into its folder; return the file's path."""
    images, model = run.training.images, run.averaged()
    card, starts = model.card, None
    if isinstance(model, Model):
        if card.estimates_variance:
            shares = residual_shares(model, images, count=DRAWN_MEASURED).to(model.device)
            model.register_buffer("statistics_residual", shares, persistent=False)
        starts = make_prior(images, card, DRAWN).initial_states
    process, numbers = process_of(model, starts), range(DRAWN)
    noise = independent(0, numbers, card.shape, model.device)
    state = process.start(0, numbers)
    for step in run_process(process, state, noise):
        state = process.pixels(step.mean, step.level)
    seen = run.step * run.options.batch_size
    sheet = contact_sheet(to_uint8(state.cpu().numpy()), numbers, f"{name}, {seen:,} images seen")
    path = run.training.folder / SHEET_NAME
    write_atomic(path, png(sheet))
    return path
