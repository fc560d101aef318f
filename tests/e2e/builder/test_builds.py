"""A build where only the clips of another machine are, in a clone; kills are in `e2e/cli`."""

from pathlib import Path

from tests.support.builders import (
    Builder,
    git,
    run_sitegen,
    tree_hash,
    write_page,
    write_site,
)

NOT_INSTALLED = "torch torchvision imageio imageio_ffmpeg PIL diffusers safetensors.torch"


def test_clone_on_a_runner_builds_the_same_site(tmp_path: Path) -> None:
    """The store goes through git, the site comes out the same, and what lacks is named."""
    built = Builder(write_site(tmp_path / "gpu machine"))
    built()
    (built.root / ".gitignore").write_text("/build/\n")
    (built.root / ".sitegen/work").mkdir(exist_ok=True)
    for name in ("lock", "work/x"):
        (built.root / ".sitegen" / name).write_text("not to be tracked")
    drawing = built.root / ".sitegen/objects/a-drawing"
    drawing.write_bytes(b"<svg>\n</svg>\n")
    git(built.root, "init", "--quiet")
    git(built.root, "config", "core.autocrlf", "true")  # as on Windows
    git(built.root, "add", "--all")
    git(built.root, "commit", "--quiet", "-m", "With its clips")
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(built.root), "runner")
    runner = tmp_path / "runner"
    tracked = {path.name for path in (runner / ".sitegen").iterdir()}
    assert tracked == {".gitattributes", ".gitignore", "objects", "records"}
    assert (runner / ".sitegen/objects/a-drawing").read_bytes() == drawing.read_bytes()
    words = ("build", "--offline", "--strict")
    done = run_sitegen(runner, *words, FAKE_BLOCK=NOT_INSTALLED)
    assert (done.returncode, done.stderr) == (0, "")
    assert tree_hash(runner / "build") == tree_hash(built.output)
    assert git(runner, "status", "--porcelain") == ""
    write_page(runner / "site.toml", '{{ trajectories("tiny", count=4, seed=1) }}\n')
    done = run_sitegen(runner, *words, FAKE_BLOCK=NOT_INSTALLED)
    assert done.returncode == 1
    assert "index.md:1: tiny-trajectories" in done.stderr
    assert "is not in the store" in done.stderr
