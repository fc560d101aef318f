"""An author's sampler file becomes figures; it runs only when it is needed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sitegen.core.files import digest
from tests.support.builders import page
from tests.support.forked import run_forked, sitegen

SITE = """
title = "A flow"

[[authors]]
name = "A. Author"

[models.flow]
path = "flow.py:Sampler"
"""

FLOW = """
from pathlib import Path
import numpy as np

with Path("imports.txt").open("a") as log:
    log.write("imported\\n")
print("words of the sampler")


class Sampler:
    shape = (1, 8, 8)
    value_range = (-1, 1)
    axis = ("time", "s", np.linspace(0, 1, 11))
    start_in_words = "Gaussian noise"
    subject = "black and white pixels"
    uses = ["weights.txt"]

    def __init__(self):
        self.sharpness = float(Path("weights.txt").read_text())

    def start(self, normal):
        return normal

    def step(self, x, i, normal):
        t, after = self.axis[2][i], self.axis[2][i + 1]
        image = np.tanh(self.sharpness * x * t / max(1 - t, 0.01) ** 2)
        return x + (after - t) * (image - x) / (1 - t), image

    def corrupt(self, images, i, normal):
        t = self.axis[2][i]
        return t * images + (1 - t) * normal
"""

CALLS = (
    'trajectories("flow", count=4)',
    'trajectories("flow", count=2, show="final")',
    'shared_initial_state("flow", count=4, around=0.4)',
    'hierarchy("flow", leaves=4)',
    'interpolation("flow", points=3)',
)

LATE = FLOW.replace("(1 - t), image", "(1 - t) + (0.1 * normal if i == 8 else 0), image")
"""A sampler in which one late step is random."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a sampler file."""
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "weights.txt").write_text("1.5")
    return tmp_path


def imports(site: Path) -> int:
    """How often the sampler was imported so far."""
    log = site / "imports.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_figures_of_a_sampler(site: Path) -> None:
    """Every figure that it allows is built, with nothing false; a second build does not run it."""
    page(site, *CALLS)
    assert "trajectories" in sitegen(site, "build", "--dry-run")
    sitegen(site, "build")
    figures = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    first = figures[0]
    assert first["axis"]["symbol"] == "time"
    assert first["axis"]["values"][0] == 1
    assert first["models"][0]["what"] == "sampler"
    assert {*first["environment"]} <= {"numpy", "imageio-ffmpeg", "pillow"}
    assert "4 black and white pixels forming out of Gaussian noise over 10 steps" in first["alt"]
    assert first["models"][0]["uses"] == [digest(site / "weights.txt")]
    assert "z′ of its own and θ = 0.4" in figures[2]["choice"]
    assert "first is at an angle of 0.4 radians to that of the first" in figures[2]["alt"]
    assert "begins from the finished picture of the first" in figures[3]["choice"]
    assert ": Gaussian noise splits into 2 and then 4 black" in figures[3]["alt"]
    html = (site / "build/index.html").read_text("utf-8")
    false = "checkpoint", "Torch", "float32", "σ_B", "a trained model", "one Gaussian", "coarse"
    assert not [word for word in false if word in html]
    assert f'uses <code class="digest">{digest(site / "weights.txt")}</code>' in html
    page(site, *CALLS[:1])
    for words in (["build", "--offline"], ["check"]):
        sitegen(site, *words)


def test_images_that_are_not_square(site: Path) -> None:
    """Every figure that a sampler allows shows them in their shape, but for spectra."""
    (site / "flow.py").write_text(FLOW.replace("(1, 8, 8)", "(3, 8, 12)"))
    page(site, *CALLS)
    sitegen(site, "build")
    for figure in json.loads((site / "build/media.json").read_text("utf-8"))["figures"]:
        cells = figure["cells"]
        assert cells["width"] / (cells["height"] - cells.get("strip", 0)) == 12 / 8, figure["id"]
    sitegen(site, "sample", "flow", "--count", "3", "--output", "x.npz")
    assert np.load(site / "x.npz")["final"].shape == (3, 3, 8, 12)
    (site / "flow.py").write_text(FLOW.replace("def corrupt", "def other"))
    page(site, 'renoise("flow", image="own.png")')
    (site / "own.png").write_bytes(b"a picture")
    done = run_forked(site, "build")
    assert "needs a forward process for images, which the model flow" in done.stderr
    assert "give its class a method corrupt" in done.stderr
    (site / "flow.py").write_text(FLOW.replace("(1, 8, 8)", "(3, 8, 12)"))
    page(site, 'spectra("flow")')
    done = run_forked(site, "build")
    assert done.returncode == 2
    assert "needs square images; those of flow are 8 × 12 pixels" in done.stderr


def test_sampler_of_a_package(site: Path) -> None:
    """An entry point of an installed package names the class; another name has a suggestion."""
    whole, about = site / "packages/theirs", site / "packages/theirs-1.0.dist-info"
    package = whole / "processes"  # a namespace, without __init__.py
    for folder in (package, about):
        folder.mkdir(parents=True)
    (whole / "__init__.py").write_text("open('imports.txt', 'a').write('package\\n')\n")
    (package / "data.py").write_text("SHARPNESS = 1.5\n")
    own = FLOW.replace('float(Path("weights.txt").read_text())', "SHARPNESS").replace(
        "import numpy as np", "import numpy as np\nfrom .data import SHARPNESS"
    )
    (package / "flow.py").write_text(own.replace('    uses = ["weights.txt"]\n', ""))
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[sitegen.processes]\nblobs = theirs.processes.flow:Sampler\n"
    )
    config = site / "site.toml"
    config.write_text(config.read_text().replace("flow.py:Sampler", "sitegen.processes:blobs"))
    page(site, CALLS[0])
    packages = {"PYTHONPATH": str(site / "packages")}
    done = run_forked(site, "build", **packages)
    assert done.returncode == 0, done.stderr
    assert run_forked(site, "build", "--offline", **packages).returncode == 0
    names = about / "entry_points.txt"
    names.write_text(names.read_text().replace(":Sampler", ":Other"))
    assert "has no attribute 'Other'" in run_forked(site, "build", **packages).stderr
    guarded = '{% if available("flow") %}{{ trajectories("flow") }}{% endif %}'
    (site / "pages/index.md").write_text(f"# A flow\n\n{guarded}\n")
    assert "has no attribute 'Other'" in run_forked(site, "build", **packages).stderr
    config.write_text(config.read_text().replace("processes:blobs", "processes:blob"))
    done = run_forked(site, "build", **packages)
    assert "no package has the process blob" in done.stderr


def test_noise_that_is_shared(site: Path) -> None:
    """Steps are random if one of them is; initial states are those of the samples of a seed."""
    words = 'start_in_words = "noise of σ = 1"'
    (site / "flow.py").write_text(LATE.replace('start_in_words = "Gaussian noise"', words))
    page(site, 'shared_noise("flow", count=2)', 'shared_initial_state("flow", count=2)')
    sitegen(site, "build")
    figures = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    assert "all share the noise of the steps, and each column begins from" in figures[0]["alt"]
    assert "another initial state: noise of σ = 1" in figures[0]["alt"]
    assert "one and the same noise of σ = 1 over 10 steps" in figures[1]["alt"]
    page(site, 'shared_noise("flow", vary="hue")', 'shared_initial_state("flow", around=0.4)')
    told = sitegen(site, "build", code=2)
    assert 'vary = "hue": needs initial states that were made of images' in told
    assert "needs Gaussian initial states that may" in told
    (site / "flow.py").write_text(LATE.replace("return normal\n", "return 0 * normal\n"))
    page(site, 'shared_noise("flow", count=2)')
    assert "flow has only one initial state" in sitegen(site, "build", code=2)


def test_a_changed_file_makes_new_figures(site: Path) -> None:
    """The key has the digests of the module and of the files that it uses."""
    page(site, CALLS[0])
    sitegen(site, "build")
    first = json.loads((site / "build/media.json").read_text("utf-8"))["figures"][0]["files"]
    (site / "weights.txt").write_text("0.2")
    assert "is not in the store" in sitegen(site, "build", "--offline", code=1)
    sitegen(site, "build")
    second = json.loads((site / "build/media.json").read_text("utf-8"))["figures"][0]["files"]
    assert first["mp4"]["sha256"] != second["mp4"]["sha256"]
    for sharpness in ("1.5", "0.2"):
        (site / "weights.txt").write_text(sharpness)
        assert "0 rendered, 1 reused" in sitegen(site, "build", "--offline")


def test_an_exception_is_reported_with_its_place(site: Path) -> None:
    """File, line, figure and page are named, and other figures are made."""
    broken = FLOW.replace("        image =", "        assert len(x) != 3, 'three'\n        image =")
    (site / "flow.py").write_text(broken)
    page(site, CALLS[0], 'trajectories("flow", count=3, id="three")')
    told = sitegen(site, "build", code=1)
    line = broken.splitlines().index("        assert len(x) != 3, 'three'") + 1
    assert f"flow.py:{line}: AssertionError: three" in told
    assert "three" in told
    assert "index" in told


def test_all_errors_are_reported_together(site: Path) -> None:
    """Those of classes, of a first state and of a step have file, line and figure.

    If all classes can be imported, other figures are made.
    """
    config, start = site / "site.toml", "        return normal\n"
    codes = {
        "first": FLOW.replace(start, "        assert len(normal) < 3, 'one'\n" + start),
        "steps": FLOW.replace("        image =", "        assert len(x) < 3, 3\n        image ="),
        "good": FLOW,
    }
    for name, code in codes.items():
        (site / f"{name}.py").write_text(code)
        config.write_text(f'{config.read_text()}\n[models.{name}]\npath = "{name}.py:Sampler"\n')
    calls = [f'trajectories("{name}", count=3)' for name in ("flow", "steps", "good", "first")]
    page(site, *calls)
    flow, good = site / "flow.py", site / "good.py"
    flow.write_text(FLOW.replace("self.sharpness = ", "self.sharpness = 1 / 0 *"))
    good.write_text("import nothing_of_this_name\n" + FLOW)
    told = sitegen(site, "build", code=2)
    assert "pages/index.md:3: flow-trajectories: flow.py:19: ZeroDivisionError" in told
    assert "pages/index.md:7: good-trajectories: good.py:1: ModuleNotFoundError" in told
    assert not (site / "build").exists()
    flow.write_text(FLOW)
    good.write_text(FLOW)
    told = sitegen(site, "build", code=1)
    assert "pages/index.md:5: steps-trajectories: steps: steps.py:26: Ass" in told
    assert "pages/index.md:9: first-trajectories: first.py:22: Ass" in told
    page(site, calls[0], calls[2])
    assert "0 rendered, 2 reused" in sitegen(site, "build")


def test_what_is_in_the_store_needs_no_file(site: Path) -> None:
    """The class of stored figures neither runs nor has to be there; others say what is missing."""
    page(site, CALLS[0])
    sitegen(site, "build")
    built = imports(site)
    for gone in ("weights.txt", "flow.py"):
        (site / gone).unlink()
        shutil.rmtree(site / "build")
        for words in (["build", "--offline"], ["build"], ["export"], ["build", "--dry-run"]):
            assert "omitted" not in sitegen(site, *words)
        assert imports(site) == built
        page(site, CALLS[0], 'trajectories("flow", count=2, id="new")')
        told = sitegen(site, "build", code=3)
        assert f"pages/index.md:5: new: {gone}: is not there" in told
        told = sitegen(site, "build", "--rerender", "flow-trajectories", code=3)
        assert f"pages/index.md:3: flow-trajectories: {gone}: is not there" in told
        page(site, CALLS[0])
    shutil.rmtree(site / ".sitegen")
    told = sitegen(site, "build", "--offline", code=2)
    assert "pages/index.md:3: flow-trajectories: flow.py: is not there" in told


def test_what_a_page_asks_for(site: Path) -> None:
    """A missing file hides guarded figures, with a note; a file with an error is reported."""
    text = '# A flow\n\n{% if available("flow") %}\n{{ trajectories("flow") }}\n{% endif %}\n'
    page(site)
    (site / "pages/index.md").write_text(text)
    (site / "flow.py").rename(site / "away.py")
    assert "because a file is missing: flow (flow.py)\n" in sitegen(site, "build")
    (site / "flow.py").write_text("import nothing_of_this_name\n")
    assert "flow.py:1: ModuleNotFoundError" in sitegen(site, "build", code=2)


def test_samples_to_choose_from(site: Path) -> None:
    """`sample` draws from a sampler, too: its pictures are those that figures show."""
    (site / "flow.py").write_text(FLOW.replace('["weights.txt"]', '"weights.txt"'))
    sitegen(site, "sample", "flow", "--count", "3", "--output", "s.npz")
    with np.load(site / "s.npz") as found:
        assert found["final"].shape == (3, 1, 8, 8)
        assert 0.4 < abs(found["final"] - 0.5).max() < 0.6


def test_what_a_sampler_cannot_do_is_refused(site: Path) -> None:
    """Without `corrupt` nothing splits a deterministic sampler; the refusal says what is needed."""
    (site / "flow.py").write_text(FLOW.partition("    def corrupt")[0])
    page(site, CALLS[3], 'shared_initial_state("flow")', 'shared_noise("flow")')
    told = sitegen(site, "build", code=2)
    assert "hierarchy(…): needs samples that split in two on their way" in told
    assert "hierarchy(…): give its class a method corrupt" in told
    assert "give around=0.5" in told
    assert "shared_noise(…): needs randomness after the start" in told
