"""The benchmark of the page's sampler."""

from pathlib import Path

import pytest

from bench.engine import main, measure
from tests.support.tinymodel import write_model


def test_measures_every_band(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each time is one, the table has a row a band, and the JSON is the same."""
    folder = write_model(tmp_path / "model")
    times = measure(folder, 1)
    assert len(times.answers) == len(times.flop) == 1
    assert min(times.loading, *times.answers, times.sample, times.product) > 0
    main([str(folder), "--repeat", "1", "--json", str(tmp_path / "x.json")])
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 0 | 0.0159 | ")
    assert (tmp_path / "x.json").read_text().startswith('{\n  "loading": ')
