"""Advice by `sitegen inspect` on files that are neither checkpoints nor recordings."""

from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import RefusedError
from sitegen.models.facts import recorded_model


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x.npy", r"if it holds states \(T, N, C, H, W\) or .*sitegen add NAME --recording FILE"),
        (
            "digits.npz",
            r"if it holds .*`states` with T `levels`.*sitegen add NAME --recording FILE",
        ),
        ("flow.py", r'path = "FILE\.py:CLASS"'),
    ],
)
def test_what_to_do_with_other_files(tmp_path: Path, name: str, told: str) -> None:
    """States become a recording, and code a sampler file; the manual's page is named."""
    path = tmp_path / name
    if name == "digits.npz":
        np.savez(path, final=np.zeros((2, 1, 8, 8)))
    else:
        path.write_bytes(b"class Sampler: ...")
    with pytest.raises(RefusedError, match=f'{told}.*"Your own method" of the manual'):
        recorded_model(path)
