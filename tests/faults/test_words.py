"""What others wrote is text: in a page, in a message, in a file that is no file."""

import json
import struct
from pathlib import Path

import pytest
import torch

from sitegen.core.errors import RefusedError
from sitegen.generative.data.prior import read_prior
from tests.support.forked import run_forked
from tests.support.making import small_card
from tests.support.tinymodel import card_of, write_model


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x9b31m", "\x1b]0;title\x07", "\u202egnp"])
def test_no_name_in_a_file_steers_the_terminal(tmp_path: Path, text: str) -> None:
    """Names in a checkpoint reach the terminal without escape codes, whoever shows them."""
    weights = {f"{text}.weight": torch.zeros(2), "other": torch.ones(3)}
    torch.save({"model": weights, f"{text}": 1, "step": 3}, tmp_path / "a.pth")
    torch.save({f"{text}": 1}, tmp_path / "b.pth")
    (tmp_path / "model.toml").write_text(small_card().to_toml())
    for words in (
        ["inspect", "a.pth"],
        ["inspect", "b.pth"],
        ["inspect", "a.pth", "--json"],
        ["sample", "a.pth", "--card", "model.toml", "--count", "1", "--output", "x.npz"],
        ["sample", f"{text}.pth", "--count", "1", "--output", "x.npz"],
        [f"{text}"],
    ):
        done = run_forked(tmp_path, *words)
        told = done.stdout + done.stderr
        assert told
        assert not set(told) & set("\x1b\x9b\x07\u202e"), (words, told)


@pytest.mark.parametrize("key", ["sigma", "image_size", "power"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e400", "-1e400", '"x"', "[[]]", "9" * 5000])
def test_priors_with_absurd_numbers_are_refused(tmp_path: Path, key: str, value: str) -> None:
    """A prior whose header holds numbers that are none is refused in words."""
    folder = write_model(tmp_path / "tiny", pinned=False)
    path = folder / "prior.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["prior"])
    whole = value if key != "power" else f"[{', '.join([value] * len(about['power']))}]"
    text = json.dumps({**about, key: "HERE"}).replace('"HERE"', whole)
    header["__metadata__"]["prior"] = text
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + size :])
    with pytest.raises(RefusedError):
        read_prior(path, card_of(folder))
