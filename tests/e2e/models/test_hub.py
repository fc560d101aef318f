"""Models of the hub, by a local server that speaks its protocol."""

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread

import pytest

from tests.support.forked import run_forked

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "fedcba9876543210fedcba9876543210fedcba98"
REPOSITORY = "somebody/small-ddpm"


@contextmanager
def hub(
    files: dict[str, bytes], sizes: dict[str, int] | None = None, commit: str | None = COMMIT
) -> Iterator[str]:
    """Serve one repository; yield the hub's address. `sizes` are what it says of its files."""
    listed = {name: len(data) for name, data in files.items()} | (sizes or {})

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.removeprefix(f"/{REPOSITORY}/resolve/{commit}/")
            if path in (f"/api/models/{REPOSITORY}/revision/{it}" for it in ("main", commit)):
                siblings = [{"rfilename": name, "size": size} for name, size in listed.items()]
                about = {"id": REPOSITORY, "sha": commit, "siblings": siblings}
                self.answer(json.dumps(about).encode())
            elif path == f"/api/models/{REPOSITORY}/tree/{commit}":
                tree = [
                    {"type": "file", "path": name, "size": size, "oid": "0" * 40}
                    for name, size in listed.items()
                ]
                self.answer(json.dumps(tree).encode())
            elif name in files:
                self.answer(files[name])
            else:
                self.answer(b"{}", 404)

        def answer(self, data: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", str(commit))
            if status == 404:
                is_listed = self.path.rpartition(f"{commit}/")[2] in listed
                self.send_header("X-Error-Code", "EntryNotFound" if is_listed else "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Write a small pipeline with diffusers; return its files."""
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("huggingface_hub")
    folder = tmp_path_factory.mktemp("pipeline")
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
    )
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=20)
    diffusers.DDIMPipeline(network, scheduler).save_pretrained(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def add(folder: Path, endpoint: str, address: str, *options: str) -> CompletedProcess[str]:
    """Add the model "small" to a site in `folder`."""
    site = folder / "site.toml"
    if not site.exists():
        site.write_text('title = "T"\n[[authors]]\nname = "A"\n', encoding="utf-8")
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "cache"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return run_forked(folder, "add", "small", "--checkpoint", address, *options, **settings)


def test_added(pipeline: dict[str, bytes], tmp_path: Path) -> None:
    """One command downloads a pipeline; its card has the commit and the digest of the weights."""
    unwanted = {"README.md": b"# A", "unet/diffusion_pytorch_model.bin": b"pickle"}
    with hub({**pipeline, **unwanted}) as endpoint:
        done = add(tmp_path, endpoint, f"hf://{REPOSITORY}", "--levels", "5")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "checkpoints" / "small"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names = {name for name in names if ".cache/" not in name}
    wanted = {name for name in pipeline if name.endswith((".json", ".safetensors"))}
    assert {name.removeprefix(f"{COMMIT[:12]}/") for name in names} == {*wanted, ".gitignore"}
    card = tomllib.loads((tmp_path / "models" / "small" / "model.toml").read_text())
    assert card["training"]["source"] == f"hf://{REPOSITORY}@{COMMIT}"
    weights = pipeline["unet/diffusion_pytorch_model.safetensors"]
    assert card["weights"]["sha256"] == sha256(weights).hexdigest()
    assert "DDIM, 5 steps" in done.stdout


def test_refused(pipeline: dict[str, bytes], tmp_path: Path) -> None:
    """What is absent, too large, or holds no safetensors is refused; nothing is written."""
    with hub(pipeline) as endpoint:
        absent = add(tmp_path, endpoint, "hf://somebody/other")
    with hub(pipeline, {"unet/config.json": 1 << 40}) as endpoint:
        large = add(tmp_path, endpoint, f"hf://{REPOSITORY}@main")
    with hub({"unet/model.bin": b"x", "unet/config.json": b"{}"}) as endpoint:
        pickled = add(tmp_path, endpoint, f"hf://{REPOSITORY}")
    assert (absent.returncode, large.returncode, pickled.returncode) == (3, 3, 3)
    assert "hf://somebody/other@main: the hub has no such model or revision" in absent.stderr
    assert "has 1100 GB; at most 17 GB are downloaded" in large.stderr
    assert "has no safetensors; pickles (.bin) may run code" in pickled.stderr
    assert not (tmp_path / "checkpoints").exists()


def test_another_commit(pipeline: dict[str, bytes], tmp_path: Path) -> None:
    """A model stays that of the commit in its card after the branch has moved."""
    with hub(pipeline) as endpoint:
        assert add(tmp_path, endpoint, f"hf://{REPOSITORY}").returncode == 0
        assert add(tmp_path, endpoint, f"hf://{REPOSITORY}", "--subject", "cats").returncode == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with hub(pipeline, commit=LATER) as endpoint:
        moved = add(tmp_path, endpoint, f"hf://{REPOSITORY}", "--subject", "dogs")
    assert moved.returncode == 2
    assert f"the model small is of another commit than {LATER}; choose another" in moved.stderr
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}


def test_failed_downloads(pipeline: dict[str, bytes], tmp_path: Path) -> None:
    """Where nothing answers, or not as a hub does, the error names the other way."""
    cut_off = add(tmp_path, "http://127.0.0.1:9", f"hf://{REPOSITORY}")
    with hub(pipeline, {"scheduler/other.json": 9}) as endpoint:
        incomplete = add(tmp_path, endpoint, f"hf://{REPOSITORY}")
    with hub(pipeline, commit=None) as endpoint:
        wrong_hub = add(tmp_path, endpoint, f"hf://{REPOSITORY}")
    for done in (cut_off, incomplete, wrong_hub):
        assert done.returncode == 4, done.stderr
        assert f"error: hf://{REPOSITORY}@main: the download failed: " in done.stderr
        assert "--checkpoint FOLDER" in done.stderr
        assert "Traceback" not in done.stderr
    assert "Entry Not Found" in incomplete.stderr
    assert not (tmp_path / "models").exists()
    wrong = add(tmp_path, "http://127.0.0.1:9", "hf://small-ddpm")
    assert wrong.returncode == 2
    assert "a model of the hub is hf://OWNER/NAME" in wrong.stderr
