"""A record of three files, for tests of the store."""

from pathlib import Path

from sitegen.core.files import digest_bytes
from sitegen.media.manifest import MediaFile, ModelRef, Record

KEY = "ab" * 32
CONTENT = {"mp4": b"moving" * 1000, "gif": b"moving too", "poster": b"still"}


def make_record(seed: int = 0) -> Record:
    """A record of three files."""
    files = {
        name: MediaFile(f"clip.{name}", len(data), digest_bytes(data), 8, 8)
        for name, data in CONTENT.items()
    }
    return Record("trajectories", (ModelRef("mnist", "0" * 64),), seed, {"a": 0.1}, (1, 0), files)


def sources(folder: Path) -> dict[str, Path]:
    """The files of the record, freshly encoded as it were."""
    paths = {name: folder / f"clip.{name}" for name in CONTENT}
    for name, path in paths.items():
        path.write_bytes(CONTENT[name])
    return paths
