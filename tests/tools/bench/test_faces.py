"""Faces are judged by their attributes and colours: real ones pass, and failures show."""

import colorsys
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.judging import attributes
from bench.judging.attributes import (
    ATTRIBUTES,
    UNKNOWN,
    as_floats,
    attributes_for,
    hue_of,
    label_of,
    read_faces,
    top_corners,
)
from bench.judging.faces import FaceQuality, judge_faces
from bench.judging.images import Samples
from bench.judging.spectra import Images
from bench.quality import main

DRAWN: dict[str, list[str]] = {
    "gender": ["female", "male"],
    "glasses": ["none", "glasses1-primary", "facemask"],
    "accessory": ["none", "hat2", "santa-hat", "headband-high", "eye-black"],
    "beard": ["none", "goatee3"],
    "hair_color": ["#272421", "#5A3825", "#e9c67b", "#B55239"],
    "skin_color": ["#fedac7", "#a67358", "#74453d"],
    "mouth": ["closed", "mouth2", "smile", "mouth7"],
}


def draw(count: int, seed: int) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Images (N, 32, 32, 3) with a bar for each attribute, its length the class, on a hue."""
    generator = np.random.default_rng(seed)
    images, faces = np.empty((count, 32, 32, 3), np.uint8), []
    for image in images:
        hue = int(generator.integers(360))
        image[:] = np.round(255 * np.array(colorsys.hls_to_rgb(hue / 360, 0.65, 0.55)))
        face: dict[str, Any] = {"hair": "short", "hue": hue}
        for at, (name, words) in enumerate(DRAWN.items()):
            number = int(generator.integers(len(words)))
            face[name] = words[number]
            image[3 + 4 * at : 6 + 4 * at, 4 : 8 + 5 * number] = 255 * (at % 2)
        faces.append(face)
    return images + generator.integers(0, 8, images.shape).astype(np.uint8), faces


@pytest.fixture(scope="module")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of faces as `make data` draws it."""
    folder = tmp_path_factory.mktemp("faces")
    for split, count, seed in (("train", 1200, 0), ("t10k", 200, 1)):
        images, faces = draw(count, seed)
        header = struct.pack(">HBB4I", 0, 8, 4, *images.shape)
        (folder / f"{split}-images-idx4-ubyte").write_bytes(header + images.tobytes())
        lines = "".join(json.dumps(face) + "\n" for face in faces)
        (folder / f"{split}-attributes.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def judged(faces_folder: Path, cache: Path) -> Callable[[Images], FaceQuality]:
    """Judges images (N, 3, H, W) as if they had been sampled."""
    data = read_faces(faces_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attributes, "EPOCHS", 6)  # of a fiftieth of the faces
        classifier = attributes_for(data, cache)
    return lambda images: judge_faces(Samples(images, images, 0.01), data, classifier)


def test_real_faces_are_as_good_as_real(
    judged: Callable[[Images], FaceQuality], faces_folder: Path
) -> None:
    """Held-out faces are new, sure and as frequent as themselves; training images are copies."""
    data = read_faces(faces_folder)
    found = judged(as_floats(data.test_images))
    assert min(found.classifier_accuracy.values()) > 0.9
    assert found.sure == found.sure_held_out
    assert abs(found.feature_fid) < 0.01 * found.floor
    assert found.nearest_neighbour_ratio == pytest.approx(1)
    assert found.worst_frequency[1] == 1
    assert found.manifolds.coverage > 0.95
    assert found.largest_deviation < 1e-6
    copies = judged(as_floats(data.train_images[:200]))
    assert (copies.copies, copies.nearest_neighbour_ratio) == (1, 0)
    assert copies.feature_fid < 3 * copies.floor
    assert found.copies == 0


def test_failures_show(judged: Callable[[Images], FaceQuality], faces_folder: Path) -> None:
    """One face again and again and flat squares fail where they should."""
    held_out = as_floats(read_faces(faces_folder).test_images)
    real = judged(held_out)
    one = judged(np.repeat(held_out[:1], 200, axis=0))
    assert one.manifolds.coverage < 0.3 * real.manifolds.coverage
    assert one.feature_fid > 10 * real.floor
    assert min(one.sectors) == 0
    assert one.worst_frequency[1] < 0.01 or one.worst_frequency[1] > 1.5
    noise = 1e-4 * np.random.default_rng(0).standard_normal(held_out.shape).astype(np.float32)
    flat = judged(held_out.mean((2, 3), keepdims=True) + noise)
    assert flat.sure < 0.5 * flat.sure_held_out
    assert flat.largest_deviation > 1


def test_labels_and_hues() -> None:
    """Parts drawn alike are one class; hidden mouths and hair have none; hues are degrees."""
    face = {name: words[-1] for name, words in DRAWN.items()} | {"hair": "bald", "hue": 200}
    assert label_of(face) == [1, 2, 4, 1, 3, 2, UNKNOWN]
    assert label_of(face | {"glasses": "none"})[-1] == 3
    assert label_of(face | {"beard": "none"})[list(ATTRIBUTES).index("hair colour")] == UNKNOWN
    assert label_of(face | {"accessory": "hat3", "glasses": "glasses2-black"})[1:3] == [1, 1]
    colours = [colorsys.hls_to_rgb(hue / 360, 0.65, 0.55) for hue in range(0, 360, 7)]
    away = np.abs(hue_of(np.array(colours, np.float32)) - np.arange(0, 360, 7))
    assert np.minimum(away, 360 - away).max() < 1.2  # an angle, where HSL has a hexagon
    image = np.zeros((1, 3, 32, 32), np.float32)
    image[:, :, :2, :3] = image[:, :, :2, -3:] = np.array([0.2, 0.4, 0.6])[:, None, None]
    np.testing.assert_allclose(top_corners(image), [[0.2, 0.4, 0.6]])


def test_report_and_what_is_refused(
    faces_folder: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints and writes the same numbers; what lacks or does not fit is told."""
    images = as_floats(read_faces(faces_folder).train_images[:60])
    arrays: dict[str, Any] = {"final": images, "initial": images, "sampling_noise_std": 0.01}
    np.savez(tmp_path / "x.npz", allow_pickle=False, **arrays)
    output, places = tmp_path / "q.json", ["--data", str(faces_folder), "--cache", str(cache)]
    main(["--samples", str(tmp_path / "x.npz"), *places, "--json", str(output)])
    numbers, printed = json.loads(output.read_text()), capsys.readouterr().out
    assert f"| coverage | {numbers['manifolds']['coverage']:.3f} |" in printed
    assert "| skin colour | medium |" in printed
    assert (numbers["count"], numbers["copies"]) == (60, 1)
    np.savez(tmp_path / "x.npz", allow_pickle=False, **{**arrays, "final": images[:, :1]})
    with pytest.raises(SystemExit, match=r"\(N, 3, H, W\) is needed"):
        main(["--samples", str(tmp_path / "x.npz"), *places])
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "train-attributes.jsonl").touch()
    with pytest.raises(SystemExit, match="train-images-idx4-ubyte: is missing; `make data`"):
        main(["x", "--data", str(lacking)])
