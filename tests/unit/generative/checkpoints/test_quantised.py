"""Weights of a byte each: what they cost, in files and in what is read of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from recipes.cascade import matrices
from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import FileRef, ModelCard, read_card
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model, read_weights
from sitegen.generative.checkpoints.quantised import SCALE, quantised
from sitegen.generative.checkpoints.weights import save_weights
from sitegen.generative.data.prior import PRIOR_NAME
from sitegen.models.browser import export_for_browser
from tests.support.tinymodel import WEIGHTS_NAME, write_model

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3))
WEIGHTS = arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32))


@given(WEIGHTS)
def test_round_trip(values: NDArray[np.float32]) -> None:
    """Rounding moves a weight by half a scale at most, and doing it again moves nothing."""
    numbers, scale = quantised(values)
    again = numbers * scale.reshape(-1, *(1 for _ in values.shape[1:]))
    rows = np.abs(values.reshape(len(values), -1)).max(1)
    wrong = np.abs(again - values).reshape(len(values), -1).max(1)
    assert numbers.dtype == np.int8
    assert (wrong <= rows / 254 * 1.001 + 1e-37).all()
    assert (quantised(again)[0] == numbers).all()


@pytest.fixture
def small(tmp_path: Path) -> tuple[ModelCard, Path, list[str]]:
    """A model whose matrices are bytes: its card, its weights, and the names of those."""
    folder = write_model(tmp_path / "model")
    model = load_model(folder)
    names = matrices(model.card, list(model.networks))
    path = tmp_path / WEIGHTS_NAME
    tensors = read_weights(folder / WEIGHTS_NAME, model.card)
    sha256 = save_weights(path, tensors, torch.float16, model.card, names)
    return replace(read_card(folder), weights=FileRef(path.name, sha256)), path, names


def test_file(small: tuple[ModelCard, Path, list[str]], tmp_path: Path) -> None:
    """A file of bytes is half of one of float16; the browser gets the same bytes."""
    card, path, names = small
    whole = tmp_path / "model"
    exact = read_weights(whole / WEIGHTS_NAME, read_card(whole))
    found = read_weights(path, card)
    assert found.keys() == exact.keys()
    for name, tensor in found.items():
        assert (tensor - exact[name]).norm() <= 0.02 * exact[name].norm()
    ends = {name for name, tensor in exact.items() if tensor.dim() > 2} - {*names}
    assert ends == {"input_blocks.0.0.weight", "out.2.weight"}
    save_weights(tmp_path / "half", exact, torch.float16, card)
    assert path.stat().st_size < 0.6 * (tmp_path / "half").stat().st_size
    inspected = inspect_checkpoint(path)
    assert inspected.dtypes == ("float16", "int8")
    assert inspected.tensors == len(exact)
    assert inspected.parameters == sum(tensor.numel() for tensor in exact.values())
    tensors = export_for_browser(card, path, whole / PRIOR_NAME).description["tensors"]
    assert [name for name in tensors if tensors[name]["dtype"] == "I8"] == sorted(names)
    assert all(tensors[name + SCALE]["shape"] == tensors[name]["shape"][:1] for name in names)


def test_scales_that_do_not_fit(small: tuple[ModelCard, Path, list[str]], tmp_path: Path) -> None:
    """Bytes without scales, or with those of other rows, are refused by name."""
    from safetensors.torch import load_file, save_file

    card, path, names = small
    card = replace(card, weights=None)
    tensors, wrong = load_file(path), tmp_path / "wrong.safetensors"
    for change in ({}, {names[0] + SCALE: torch.ones(3)}, {names[0] + SCALE: torch.ones(2, 2)}):
        rest = {name: value for name, value in tensors.items() if name != names[0] + SCALE}
        save_file(rest | change, wrong)
        with pytest.raises(RefusedError, match=rf"wrong\.safetensors: {names[0]}"):
            read_weights(wrong, card)
    save_file(tensors | {names[0] + SCALE: torch.full((len(tensors[names[0]]),), torch.nan)}, wrong)
    with pytest.raises(RefusedError, match="not finite"):
        read_weights(wrong, card)
