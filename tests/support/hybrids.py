"""Small models with a second network for coarse levels, whose weights are random."""

from __future__ import annotations

from dataclasses import replace

import torch

from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.nets.coarse import CoarseNet
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.model import Model
from sitegen.ihdm.training.loss import image_statistics
from tests.support.lessons import images, preconditioned
from tests.support.making import random_unet

CONFIG = CoarseConfig(lowest_level=5, side=3, width=32, blocks=2, features=8, level_features=4)


def outspoken(config: CoarseConfig = CONFIG, channels: int = 1) -> CoarseNet:
    """A network that has an answer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = CoarseNet(config, channels).requires_grad_(False)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return net


def card(channels: int = 1) -> ModelCard:
    """A card with a network for coarse levels."""
    return replace(preconditioned(channels), coarse=CONFIG)


def model(channels: int = 1) -> Model:
    """Both networks have random weights."""
    known = card(channels)
    statistics = image_statistics(images(channels=channels))
    net = outspoken(channels=channels)
    return Model(known, random_unet(known), statistics, coarse=net).requires_grad_(False)


def without_coarse(channels: int = 1) -> Model:
    """A preconditioned model whose network answers nothing yet."""
    card = preconditioned(channels)
    statistics = image_statistics(images(channels=channels))
    return Model(card, UNet(card.unet, channels), statistics).requires_grad_(False)
