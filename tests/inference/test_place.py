"""Places on a disk and on an object store behave alike; what is written is whole or absent."""

from __future__ import annotations

import pickle
import uuid
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from xdownscale.inference.place import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place.of(tmp_path / "é t.zarr")
    return Place.of(f"memory://{uuid.uuid4().hex}/a.zarr")


class TestOf:
    def test_paths_are_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert Place.of("a.zarr").path == tmp_path / "a.zarr"
        assert Place.of(tmp_path / "a.zarr") == Place.of("a.zarr")

    def test_a_file_url_is_a_path(self, tmp_path: Path) -> None:
        assert Place.of(f"file://{tmp_path}/a.zarr").path == tmp_path / "a.zarr"

    def test_other_urls_stay(self) -> None:
        place = Place.of("memory://a/b.zarr")
        assert place.path is None
        assert str(place) == place.target == "memory://a/b.zarr"

    def test_travels(self, place: Place) -> None:
        place.write("a", b"1")
        again = pickle.loads(pickle.dumps(Place(place.url)))
        assert again.read("a") == b"1"
        assert len(pickle.dumps(Place(place.url))) < 300


class TestFiles:
    def test_round_trip(self, place: Place) -> None:
        place.write("ledger/blocks/0.0.json", b"one")
        place.write("ledger/blocks/0.0.json", b"two")
        assert place.read("ledger/blocks/0.0.json") == b"two"

    def test_absent(self, place: Place) -> None:
        with pytest.raises(FileNotFoundError):
            place.read("nothing")
        assert place.keys() == []
        assert not place.is_zarr()

    def test_keys(self, place: Place) -> None:
        for key in ("b/c/0", "b/zarr.json", "a", "b/half.12345678.part", "b/zarr.0123.partial"):
            place.write(key, b"x")
        assert place.keys() == ["a", "b/c/0", "b/zarr.json"]
        assert place.keys("b") == ["b/c/0", "b/zarr.json"]

    def test_a_failed_write_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = Place.of(tmp_path / "a.zarr")
        place.write("k", b"old")

        def full(path: Path, content: bytes) -> None:
            with path.open("wb") as file:
                file.write(content[:1])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            place.write("k", b"new")
        assert place.read("k") == b"old"
        assert place.keys() == ["k"]


class TestZarr:
    def test_array(self, place: Place) -> None:
        group = zarr.open_group(place.target, mode="a", zarr_format=3)
        group.create_array("v", shape=(3,), dtype="f4")
        place.array("v", "r+")[:] = np.arange(3)
        np.testing.assert_array_equal(place.array("v", "r")[:], [0, 1, 2])
        assert place.is_zarr()

    def test_remove(self, place: Place, tmp_path: Path) -> None:
        zarr.open_group(place.target, mode="a", zarr_format=3)
        place.remove()
        assert place.keys() == []
        assert not place.is_zarr()
        assert list(tmp_path.iterdir()) == []

    def test_a_removal_that_is_interrupted_leaves_no_half_store(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = Place.of(tmp_path / "a.zarr")
        place.write("zarr.json", b"{}")
        monkeypatch.setattr("shutil.rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.remove()
        assert not (tmp_path / "a.zarr").exists()
