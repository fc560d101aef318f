"""The store: a record is found whole or not at all, and what no page needs goes."""

from pathlib import Path

import pytest

from sitegen.builder.store import Store
from sitegen.core.errors import LockedError, PlatformError
from sitegen.core.files import digest_bytes
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.card.tables import SamplerConfig
from sitegen.media.manifest import MediaFile, ModelRef, Record
from tests.support.builders import traces

KEY = "ab" * 32
CONTENT = {"mp4": b"moving" * 1000, "gif": b"moving too", "poster": b"still"}


class Filled:
    """A store with one record in it, and its warnings."""

    def __init__(self, root: Path) -> None:
        self.warnings: list[str] = []
        self.store = Store(root, self.warnings.append)
        self.record = self.put(KEY)
        self.path = root / "records" / f"{KEY}.json"

    def put(self, key: str, suffix: bytes = b"") -> Record:
        """Write files into a workspace, and store them."""
        with self.store.workspace() as folder:
            files = {}
            for name, data in CONTENT.items():
                (folder / f"clip.{name}").write_bytes(data + suffix)
                size, sha256 = len(data + suffix), digest_bytes(data + suffix)
                files[name] = MediaFile(f"clip.{name}", size, sha256, 8, 8)
            record = Record("trajectories", (ModelRef("m", "0" * 64),), 0, {}, (1, 0), files)
            self.store.put(key, record, folder)
        return record


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A store with one record in it."""
    return Filled(tmp_path / "store")


def test_put_and_get(filled: Filled, tmp_path: Path) -> None:
    """A record comes back equal, with its files; a look changes nothing, and creates nothing."""
    before = traces(filled.store.root)
    assert Store(filled.store.root).get(KEY) == filled.record
    for name, file in filled.record.files.items():
        assert filled.store.object(file).read_bytes() == CONTENT[name]
    assert filled.store.get("cd" * 32) is None
    assert Store(tmp_path / "other").get(KEY) is None
    assert not (tmp_path / "other").exists()
    assert (filled.warnings, traces(filled.store.root)) == ([], before)
    assert list((filled.store.root / "work").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 99999, b'{"version": 1}'])
def test_damaged_record(filled: Filled, data: bytes) -> None:
    """A record that cannot be read is a miss with a warning, and can be stored again."""
    filled.path.write_bytes(data)
    assert filled.store.get(KEY) is None
    assert str(filled.path) in filled.warnings[0]
    filled.put(KEY)
    assert filled.store.get(KEY) == filled.record


def test_lock(filled: Filled) -> None:
    """A second holder is refused with the site's folder; leftovers of killed builds go."""
    leftover = filled.store.root / "work/.sitegen-x"
    leftover.mkdir()
    with filled.store.locked():
        assert not leftover.exists()
        with (
            pytest.raises(LockedError, match=f"^{filled.store.root.parent}: another sitegen"),
            Store(filled.store.root).locked(),
        ):
            pass
    with filled.store.locked():
        pass


def test_prune(filled: Filled) -> None:
    """Records that are not named go, with the files that no other record shares."""
    filled.put("cd" * 32, b"more")
    filled.put("ef" * 32)
    count, size = filled.store.prune({KEY})
    assert (count, size > 6000) == (2, True)
    assert filled.store.get(KEY) == filled.record
    assert filled.store.get("ef" * 32) is None
    assert len([*(filled.store.root / "objects").iterdir()]) == 3
    assert filled.store.prune({KEY}) == (0, 0)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the place of the store is reported with its path."""
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(PlatformError, match="store"), Store(tmp_path / "store").workspace():
        pass


def test_card_of_a_sampler(filled: Filled) -> None:
    """It is read as it was stored; a damaged one is a miss, and can be stored again."""
    config = SamplerConfig((1, 0.5, 0), -1, 1, "Sampler", uses={"a/w.pt": "0" * 64})
    card = ModelCard(8, 1, 2, kind="sampler", sampler=config, weights=FileRef("f.py", "1" * 64))
    for _ in range(2):
        assert filled.store.sampler_card("flow") is None
        filled.store.put_sampler_card("flow", card)
        assert filled.store.sampler_card("flow") == card
        (filled.store.root / "samplers/flow.toml").write_text("kind =")
