"""The two complete programs of the page "Your own method", as an author would copy them."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.builders import page, run_python
from tests.support.forked import sitegen
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/pages/method.md").read_text(encoding="utf-8")
RECORDING, SAMPLER = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
SITE = 'title = "Birds"\n'


def build(folder: Path) -> list[dict[str, object]]:
    """Build the site, and return its figures."""
    sitegen(folder, "build")
    manifest: dict[str, Any] = json.loads((folder / "build/media.json").read_text("utf-8"))
    return list(manifest["figures"])


def test_programs_are_short() -> None:
    """Each is complete in under 30 lines."""
    assert max(len(program.splitlines()) for program in (RECORDING, SAMPLER)) < 30


def test_recording(tmp_path: Path) -> None:
    """The program writes a file that becomes a clip."""
    (tmp_path / "site.toml").write_text(SITE)
    page(tmp_path)
    assert run_python("-c", RECORDING, folder=tmp_path).returncode == 0
    sitegen(tmp_path, "add", "flow", "--recording", "flow.npz", "--subject", "small birds")
    page(tmp_path, 'trajectories("flow", count=4, show="final")')
    (figure,) = build(tmp_path)
    assert "4 small birds" in str(figure["alt"])


def test_sampler_file(tmp_path: Path) -> None:
    """The class is a model once site.toml names it."""
    (tmp_path / "flow.py").write_text(SAMPLER)
    model = '[models.flow]\npath = "flow.py:Sampler"\n'
    (tmp_path / "site.toml").write_text(f"{SITE}{model}")
    page(tmp_path, 'trajectories("flow", count=2)')
    (figure,) = build(tmp_path)
    assert "2 small birds forming out of Gaussian noise over 50 steps" in str(figure["alt"])
