"""A ledger says what is done, and every change to what was written is found."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale.inference import ledger as module
from xdownscale.inference.ledger import DamagedError, Ledger, digest, fault, record, verify
from xdownscale.inference.place import Place
from xdownscale.inference.store import to_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def store(days: Any, tiny_model: Downscaler, quick: dict[str, Any], tmp_path: Path) -> Path:
    """Five days, two members, in blocks of two days: six blocks."""
    path = tmp_path / "a.zarr"
    to_zarr(days(), path, tiny_model, members=2, chunks={"time": 2}, progress=False, **quick)
    return path


class TestDigest:
    def test_is_of_the_values(self) -> None:
        values = np.arange(6, dtype="f4").reshape(2, 3)
        assert digest(values) == hashlib.sha256(values.tobytes()).hexdigest()
        for same in (np.asfortranarray(values), values.astype(">f4"), values[::-1][::-1]):
            assert digest(same) == digest(values)
        assert digest(values) != digest(values + np.float32(1e-6))

    def test_all_nan_are_alike(self) -> None:
        other = np.array([0xFFC00001], dtype="u4").view("f4")
        assert np.isnan(other).all()
        assert digest(other) == digest(np.array([np.nan], dtype="f4"))


class TestLedger:
    def made(self, path: Path, **changes: Any) -> Ledger:
        content = {
            "identity": {"seed": "0"},
            "variable": "v",
            "shape": (2, 3, 10),
            "block": (2, 4),
            "timeless": False,
        }
        return Ledger(Place.of(path), **(content | changes))

    def test_round_trip(self, tmp_path: Path) -> None:
        made = self.made(tmp_path / "a.zarr", metadata={"zarr.json": "00"})
        made.write()
        assert Ledger.read(made.place) == made

    def test_absent(self, tmp_path: Path) -> None:
        assert Ledger.read(Place.of(tmp_path / "a.zarr")) is None

    def test_blocks(self, tmp_path: Path) -> None:
        made = self.made(tmp_path / "a.zarr")
        assert made.sizes == ((2, 1), (4, 4, 2))
        assert made.blocks == 2 * 2 * 3

    def test_of_another_format(self, tmp_path: Path) -> None:
        made = self.made(tmp_path / "a.zarr")
        made.place.write("ledger/job.json", module._sealed({"format": 2}))
        with pytest.raises(DamagedError, match="another format: expected 1"):
            Ledger.read(made.place)

    @pytest.mark.parametrize("position", [0, 63, 64, 70, -1])
    def test_changed(self, tmp_path: Path, position: int) -> None:
        made = self.made(tmp_path / "a.zarr")
        made.write()
        file = tmp_path / "a.zarr" / "ledger" / "job.json"
        content = bytearray(file.read_bytes())
        content[position] ^= 4
        file.write_bytes(content)
        with pytest.raises(DamagedError, match=r"job\.json is damaged"):
            Ledger.read(made.place)

    def test_records(self, tmp_path: Path) -> None:
        made = self.made(tmp_path / "a.zarr")
        made.place.write("ledger/blocks/notes.txt", b"a stranger's")
        record(made.place, (0, 1, 2), {"sha256": "aa"})
        record(made.place, (7, 7, 7), {"sha256": "of no block"})
        record(made.place, (1, 0, 0), {"sha256": "bb"})
        (tmp_path / "a.zarr/ledger/blocks/1.0.0.json").write_bytes(b"torn")
        assert made.done() == {(0, 1, 2): {"sha256": "aa"}, (1, 0, 0): None}


class TestVerify:
    def test_sound(self, store: Path) -> None:
        report = verify(store)
        assert (report.sound, report.complete, report.blocks, report.done) == (True, True, 6, 6)
        assert str(report).startswith(
            f"{store}: complete and sound, 6 of 6 blocks done\nlargest relative error"
        )
        records = [json.loads(p.read_text().partition("\n")[2]) for p in (store / "ledger/blocks").iterdir()]
        assert report.residual == max(r["residual"] for r in records)

    def test_unfinished(self, store: Path) -> None:
        (store / "ledger/blocks/1.2.json").unlink()
        report = verify(store)
        assert (report.sound, report.complete, report.done) == (True, False, 5)
        assert "sound, not complete" in str(report)

    def test_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="expected a store that to_zarr wrote"):
            verify(tmp_path / "a.zarr")

    def test_a_chunk_that_is_gone(self, store: Path) -> None:
        (store / "DUEXTTAU/c/1/0/0/0").unlink()
        assert verify(store).damaged == ("block (1, 0) is missing",)

    def test_a_chunk_of_another_block(self, store: Path) -> None:
        """Its own checksum is right; it does not belong there."""
        (store / "DUEXTTAU/c/1/0/0/0").write_bytes((store / "DUEXTTAU/c/0/0/0/0").read_bytes())
        assert verify(store).damaged == ("block (1, 0) is not what was written",)

    @pytest.mark.parametrize("keep", [0, 3, 500])
    def test_a_chunk_cut_short(self, store: Path, keep: int) -> None:
        chunk = store / "DUEXTTAU/c/0/1/0/0"
        chunk.write_bytes(chunk.read_bytes()[:keep])
        (wrong,) = verify(store).damaged
        assert wrong.startswith("block (0, 1) cannot be decoded")

    @pytest.mark.parametrize("key", ["zarr.json", "lat/c/0", "time/zarr.json", "lon_bnds/c/0/0"])
    def test_metadata_that_are_gone_or_changed(self, store: Path, key: str) -> None:
        content = (store / key).read_bytes()
        (store / key).write_bytes(content + b" ")
        assert verify(store).damaged == (f"{key} was changed",)
        (store / key).unlink()
        assert verify(store).damaged == (f"{key} is missing",)

    def test_every_flipped_bit(self, store: Path) -> None:
        """A hundred, anywhere in any file, one at a time."""
        rng = np.random.default_rng(4)
        files = sorted(p for p in store.rglob("*") if p.is_file())
        sizes = np.array([p.stat().st_size for p in files])
        chosen = [*range(len(files)), *rng.choice(len(files), 100 - len(files), p=sizes / sizes.sum())]
        assert len(files) < 50
        for number in chosen:
            content = bytearray(files[number].read_bytes())
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
            before = files[number].read_bytes()
            files[number].write_bytes(content)
            assert self.found(store), f"a flipped bit in {files[number]} was not found"
            files[number].write_bytes(before)
        assert verify(store).complete

    def found(self, store: Path) -> bool:
        try:
            return not verify(store).sound
        except DamagedError:
            return True

    def test_a_failing_disk_is_no_damage(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger = Ledger.read(Place.of(store))
        assert ledger is not None

        def unreachable(*_: Any) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Place, "array", unreachable)
        with pytest.raises(OSError, match="Input/output error"):
            fault(ledger, (0, 0), {"sha256": ""})
