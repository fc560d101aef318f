"""Constants as part of a figure's key: the groups that its kind names, if a value has changed.

A group is a module that contains only constants. Groups became part of the key after figures had
been stored. A key therefore leaves out a group whose values are those of the baseline, and stored
figures keep their keys until a value that affects them changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from sitegen.core.files import canonical_json, digest_bytes

FILM, STILLS, COLOURS, LABELS, DRAWINGS, NARROW, RECORDED = (
    f"sitegen.media.look.{name}"
    for name in ("film", "stills", "colours", "labels", "drawings", "narrow", "recorded")
)
"""The groups that several kinds use; RECORDED is one of figures of a recording."""

METHODS = "sitegen.generative.card.methods"
"""The group of the names of methods."""

BASELINE: Mapping[str, str] = {
    "sitegen.figures.hierarchy.look": "1d7181b8bf63a395ca32995f065bc1e1",
    "sitegen.figures.interpolation.look": "ac476e4ab601a41fc32054eb962dc432",
    "sitegen.figures.process.look": "cb4eaba74b9765f88a6c1f208759c0ea",
    "sitegen.figures.smoothness.look": "5aa1baa11264e9fc19ddcc2032dcd142",
    "sitegen.figures.spectra.look": "35ba329be57b0851dd7d15996b823586",
    "sitegen.generative.card.methods": "82053e48f98895a15224a8e5b1a81ad0",
    "sitegen.media.look.colours": "98fb5f332c696f6f2ed3c9ab3d0c3769",
    "sitegen.media.look.drawings": "99730b22a25f397dae5b131435977674",
    "sitegen.media.look.film": "0f68fc3dbf9e0ddf11934ef2f7a74aea",
    "sitegen.media.look.labels": "94806ed572b7c38cd98e7a37f114d347",
    "sitegen.media.look.narrow": "ea150d497e61073634879fc9323a6782",
    "sitegen.media.look.stills": "8447dde37f12b41bd1b247e707cef9ba",
}
"""Digest of each group's values when groups became part of the key.

To change a constant, edit it and leave this table: the figures that it reaches get new keys. Change
an entry only with a change that leaves every file as it was, such as a new name for a constant.
"""


def constants(group: str) -> dict[str, Any]:
    """Return the constants of a group by name."""
    return {name: value for name, value in vars(import_module(group)).items() if name.isupper()}


def constants_digest(group: str) -> str:
    """Return the start of the digest of a group's values."""
    return digest_bytes(canonical_json(constants(group)).encode())[:32]


def changed_constants(groups: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the groups whose values are not those of the baseline, with all their values."""
    return {
        group: constants(group)
        for group in groups
        if constants_digest(group) != BASELINE.get(group)
    }
