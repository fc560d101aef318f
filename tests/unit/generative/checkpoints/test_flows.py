"""Flows as other programs save them: torchcfm, diffusers; and layouts of unknown networks."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.flow import FLOW_STEPS, Flow, FlowConfig
from sitegen.generative.process.protocol import process_of, run
from sitegen.models.new_card import new_model
from sitegen.models.options import AddOptions
from tests.support.making import random_unet, save, small_card
from tests.unit.generative.checkpoints.test_foreign import network


def waves(shape: tuple[int, ...], number: int) -> Tensor:
    """Weights without a random generator."""
    count = int(np.prod(shape))
    return torch.from_numpy(0.25 * np.sin(0.7 * np.arange(count) + number)).float().reshape(shape)


def test_torchcfm(tmp_path: Path, reference: Path) -> None:
    """A checkpoint of its CIFAR-10 example: averages, network, time and four Euler steps.

    The recorded numbers are of torchcfm 1.0.7 (`tests/reference/README.md`).
    """
    options = AddOptions(tmp_path / "otcfm.pt", image_size=8, levels=4, heads=2)
    shapes = UNet(small_card(channel_mult=(1, 2), attention_levels=(1,)).finest, 1).state_dict()
    weights = {name: waves(tuple(v.shape), at) for at, (name, v) in enumerate(shapes.items())}
    others = {"module." + name: value + 1 for name, value in weights.items()}
    optimizer = torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict()
    content = {"net_model": others, "ema_model": weights, "sched": {"last_epoch": 3}}
    path = save({**content, "optim": optimizer, "step": 400_000}, options.checkpoint)
    info = inspect_checkpoint(path)
    assert (info.layout, info.step) == ("torchcfm", 400_000)
    assert "None" not in info.to_text()
    assert "velocity" in info.to_text()
    _, card, notes = new_model(options, info)
    assert isinstance(card, Flow)
    assert card.flow == FlowConfig()
    assert any("t = 1" in note for note in notes)
    model = load_model(path, card)
    process = process_of(model)
    found = [step.state for step in run(process, 24 * waves((2, 1, 8, 8), 0) / 4, None)]
    wanted = json.loads((reference / "torchcfm.json").read_text())["steps"]
    for state, numbers in zip(found, wanted, strict=True):
        assert np.allclose(state.numpy().ravel()[::8], numbers, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "options", "saved", "words"),
    [
        (
            {},
            {},
            {},
            "assumed: 1 attention head, since the file does not say; --heads N or --head-",
        ),
        ({"num_heads": 2}, {"heads": 2}, {}, "attention: 2 heads; if it was trained with num_head"),
        (
            {"num_heads": 2, "num_head_channels": 16},
            {"heads": 2, "head_channels": 16},
            {},
            "attention: heads of 16 channels, which overrides the number of heads",
        ),
        ({"num_head_channels": 16}, {"head_channels": 16}, {}, "attention: heads of 16 channels"),
        (
            {"num_heads": 2, "num_head_channels": 16},
            {},
            {"config": {"unet": {"num_heads": 2, "num_head_channels": 16}}},
            "attention: heads of 16 channels",
        ),
        (
            {"num_heads": 4, "use_new_attention_order": True},
            {},
            {"args": Namespace(num_heads=4, use_new_attention_order=True)},
            "attention: 4 heads",
        ),
    ],
)
def test_heads_of_torchcfm(
    network: dict[str, Any],
    options: dict[str, Any],
    saved: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sampled as torchcfm does, with heads by number, by channels, or as the file records."""
    monkeypatch.setitem(sys.modules, "ot", Mock())  # its losses use that, its network does not
    unet = pytest.importorskip("torchcfm.models.unet.unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = unet.UNetModelWrapper(
            dim=(1, 8, 8),
            num_channels=32,
            num_res_blocks=1,
            channel_mult=(1, 2),
            attention_resolutions="4",
            **network,
        ).eval()
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    content = {"net_model": net.state_dict(), "ema_model": net.state_dict(), **saved}
    path = save(content, tmp_path / "cfm.pt")
    given = AddOptions(path, image_size=8, levels=5, **options)
    _, card, notes = new_model(given, inspect_checkpoint(path))
    assert any(note.startswith(words) for note in notes), notes
    by_number = not {"head_channels"} & options.keys() and not saved.get("config")
    assert any("(num_heads_upsample = -1); if" in note for note in notes) == by_number
    assert notes[0] == "sampler: Flow (euler), 5 steps, nothing random after the start"
    start = state = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for step in range(5):
            state = state + net(torch.tensor(step / 5), state) / 5
    *_, last = run(process_of(load_model(path, card)), start, None)
    assert torch.allclose(last.state, state, atol=1e-5, rtol=1e-4)


def test_other_heads_on_the_way_up(tmp_path: Path) -> None:
    """A network whose two halves have different numbers of heads is refused by that name."""
    config = small_card(channel_mult=(1, 2), attention_levels=(1,))
    content: dict[str, Any] = {"net_model": random_unet(config).state_dict()}
    content["args"] = Namespace(num_heads=2, num_heads_upsample=4)
    path = save(content, tmp_path / "cfm.pt")
    with pytest.raises(RefusedError, match="num_heads_upsample = 4: sitegen has one number"):
        new_model(AddOptions(path, image_size=8, levels=5), inspect_checkpoint(path))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_diffusers(shift: float, tmp_path: Path) -> None:
    """A saved pipeline has the times of its scheduler, in steps of its own number."""
    scheduler: Any = FlowMatchEulerDiscreteScheduler
    pipeline: Any = DDPMPipeline
    pipeline(unet := network(), scheduler(shift=shift)).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert isinstance(model.card, Flow)
    assert model.card.levels == FLOW_STEPS
    theirs = scheduler(shift=shift)
    theirs.set_timesteps(FLOW_STEPS)
    assert np.allclose(model.card.times[::-1], theirs.sigmas.numpy(), atol=1e-6)
    x, t = torch.randn(2, 1, 8, 8), float(theirs.sigmas[7])
    with torch.no_grad():
        assert torch.allclose(model(x, t), unet(x, theirs.timesteps[7]).sample, atol=1e-4)
    config = tmp_path / "scheduler/scheduler_config.json"
    config.write_text(
        config.read_text().replace('"stochastic_sampling": false', '"stochastic_sampling": true')
    )
    with pytest.raises(RefusedError, match="stochastic_sampling = true: only false"):
        load_model(tmp_path)


def test_averages_by_name(tmp_path: Path) -> None:
    """Averages of cold diffusion's and of lucidrains' layout are taken, without their prefixes."""
    card = small_card(kind="flow", flow=FlowConfig())
    weights, raw = random_unet(card).state_dict(), random_unet(card, 1).state_dict()
    plain = {"module." + name: value for name, value in weights.items()}
    cold = {"module.denoise_fn." + name: value for name, value in weights.items()}
    cold["module.gaussian_kernels.0.weight"] = torch.ones(1, 1, 3, 3)
    theirs = {"ema_model.model." + name: value for name, value in weights.items()}
    theirs |= {"online_model.model." + name: value for name, value in raw.items()}
    theirs |= {"ema_model.betas": torch.ones(5), "initted": torch.ones(1), "step": torch.ones(1)}
    for number, averages in enumerate((plain, cold, theirs)):
        options = Namespace(lr=1e-4, name="x", flags=[True, None], inner=Namespace(a=1))
        content = {"step": 7, "model": raw, "ema": averages, "args": options}
        path = save(content, tmp_path / f"{number}.pt")
        model = load_model(path, card)
        assert inspect_checkpoint(path).layout == "averaged"
        assert all(torch.equal(model.unet.state_dict()[k], v) for k, v in weights.items())


class Trap:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> Any:
        """Call `print`."""
        return print, ("run",)


class Other:
    """A class that is no record."""


@pytest.mark.parametrize("inner", [Trap(), Other()])
def test_a_namespace_is_inert(inner: Any, tmp_path: Path, capsys: Any) -> None:
    """Its class is not imported, and what it holds is checked like everything else."""
    path = save({"a": torch.ones(1), "args": Namespace(inner=inner)}, tmp_path / "x.pt")
    with pytest.raises(RefusedError, match="refused as unsafe"):
        inspect_checkpoint(path)
    assert capsys.readouterr().out == ""


def test_unknown_network_is_told_what_to_do_next(tmp_path: Path) -> None:
    """`inspect` and `add` lead to recordings and sampler files."""
    with pytest.raises(RefusedError, match=r"it holds net; .* or write a sampler class"):
        inspect_checkpoint(save({"net": {"a": torch.ones(1)}}, tmp_path / "y.pt"))
    path = save({"layer.weight": torch.ones(3, 3)}, tmp_path / "x.pt")
    assert "Your own method" in inspect_checkpoint(path).to_text()
    with pytest.raises(RefusedError, match=r"record its samples .* or write a sampler class"):
        new_model(AddOptions(path, kind="flow"), inspect_checkpoint(path))
