"""What `sitegen inspect` says about files that are neither checkpoints nor recordings."""

from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import RefusedError
from sitegen.models.facts import recorded_model


@pytest.mark.parametrize("name", ["x.npy", "trajectory.npz", "flow.py"])
def test_what_to_do_with_other_files(tmp_path: Path, name: str) -> None:
    """Arrays become a recording, and code a sampler file; the manual's page is named."""
    path = tmp_path / name
    if name == "trajectory.npz":
        np.savez(path, states=np.zeros((3, 2, 1, 8, 8)), levels=[2, 1, 0])
    else:
        path.write_bytes(b"class Sampler: ...")
    told = r'path = "FILE\.py:CLASS"' if name == "flow.py" else "sitegen add NAME --recording FILE"
    with pytest.raises(RefusedError, match=f'{told}.*"Your own method" of the manual'):
        recorded_model(path)
