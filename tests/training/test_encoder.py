"""Stage 1 learns the next day, and its file is what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xdownscale.grid import MERRA2
from xdownscale.nn.encoder import digest
from xdownscale.training import PretrainConfig, Pretrained, pretrain
from xdownscale.training import encoder as module
from xdownscale.training.loop import Run
from xdownscale.training.pairs import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

GRID = MERRA2.window((200, 32), (300, 40))
CONFIG = PretrainConfig(
    steps=150, batch=8, crop=24, history=3, channels=(8, 8, 8), learning_rate=5e-3, ema=0.95, seed=2
)


@pytest.fixture(scope="module")
def record(dataarray: Callable[..., xr.DataArray], carried: Callable[..., np.ndarray]) -> xr.DataArray:
    return dataarray(carried(GRID, 60, 1), GRID)


@pytest.fixture(scope="module")
def pretrained(record: xr.DataArray) -> Pretrained:
    return pretrain(record, config=CONFIG)


class TestPretrain:
    def test_better_than_persistence(self, pretrained: Pretrained) -> None:
        """A field that moves one cell a day can be foreseen: measured 0.14 of persistence's error."""
        info = pretrained.info
        assert info["validation_l1"] < 0.3 * info["trivial_l1"]
        assert info["days"] == 60
        assert (info["first"], info["last"]) == ("2005-07-01", "2005-08-29")
        assert info["config"] == CONFIG.to_dict()

    def test_persistence_is_what_it_says(self, record: xr.DataArray, pretrained: Pretrained) -> None:
        """Mean |z_{d+1} - z_d| in the transform's units, over all of the record."""
        z = np.asarray(pretrained.scaling.forward(record.values.astype(np.float64)))
        assert pretrained.info["trivial_l1"] == pytest.approx(np.abs(np.diff(z, axis=0)).mean(), rel=0.15)

    def test_transform_standardises_the_record(self, record: xr.DataArray, pretrained: Pretrained) -> None:
        z = np.asarray(pretrained.scaling.forward(record.values.astype(np.float64)))
        assert (z.mean(), z.std()) == pytest.approx((0.0, 1.0), abs=0.02)

    def test_reproducible_and_resumable(
        self, record: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = replace(CONFIG, steps=12)
        whole = pretrain(record, config=config)

        def stop(step: int, running: float, score: float | None) -> None:
            if step == 9:
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "Run", lambda *a: Run(*a, every=4))
        with pytest.raises(KeyboardInterrupt):
            pretrain(record, config=config, folder=tmp_path, report=stop)
        steps: list[int] = []
        again = pretrain(record, config=config, folder=tmp_path, report=lambda n, *_: steps.append(n))
        assert steps == [9, 10, 11, 12]
        assert again.digest == whole.digest
        with pytest.raises(ValueError, match="state of another training"):
            pretrain(record + 0.5, config=config, folder=tmp_path)

    def test_gaps(self, record: xr.DataArray) -> None:
        """A record with holes trains; weights and score stay finite."""
        holes = np.random.default_rng(0).random(record.shape) < 0.2
        found = pretrain(record.where(~holes), config=replace(CONFIG, steps=6))
        assert np.isfinite(found.info["validation_l1"])
        assert all(bool(torch.isfinite(w).all()) for w in found.encoder.state_dict().values())

    def test_too_short(self, record: xr.DataArray) -> None:
        with pytest.raises(ValueError, match=r"has 5 days, 2 of them with a next day: expected at least 36"):
            pretrain(record.isel(time=slice(5)), config=CONFIG)

    def test_off_the_grid(self, record: xr.DataArray) -> None:
        with pytest.raises(ValueError, match=r"resolution|spacing|step"):
            pretrain(record.isel(lat=slice(None, None, 2)), config=CONFIG, grid=MERRA2)
        with pytest.raises(ValueError, match="'lat' is not evenly spaced"):
            pretrain(record.isel(lat=[0, 1, 3, 4, 5, 6, 7, 8]), config=CONFIG)


class TestDays:
    def test_only_unbroken_runs(self, record: xr.DataArray) -> None:
        """History of 3 and a next day: four days in a row."""
        with_gap = Record.of(record.isel(time=[0, 1, 2, 3, 4, 6, 7, 8, 9, 12]), MERRA2)
        assert module._days(with_gap, 3) == [2, 3, 7]
        assert module._days(with_gap, 1) == [0, 1, 2, 3, 5, 6, 7]

    def test_batch(self) -> None:
        """Values are the day's own: z[d, y, x] = d here."""
        z = np.broadcast_to(np.arange(50.0, dtype=np.float32)[:, None, None], (50, 32, 40))
        rng = module.generator(0, 0)
        history, mask, after, weight = module._batch(z, [10, 20], replace(CONFIG, dropout=0.0), rng, "cpu")
        assert history.shape == (8, 3, 24, 24)
        today = history[:, -1, 0, 0]
        assert set(today.tolist()) == {10.0, 20.0}
        for lag in range(3):
            assert torch.equal(history[:, lag], (today - 2 + lag)[:, None, None].expand(-1, 24, 24))
        assert torch.equal(after[:, 0, 0, 0], today + 1)
        assert float(mask.min()) == float(weight.min()) == 1.0

    def test_dropout_hides_the_oldest_never_today(self) -> None:
        z = np.ones((50, 32, 40), dtype=np.float32)
        config = replace(CONFIG, dropout=1.0, batch=200, history=4)
        history, mask, _, _ = module._batch(z, [10], config, module.generator(0, 0), "cpu")
        days = mask.mean(dim=(2, 3))
        assert torch.equal(history, mask)  # hidden values are zero
        assert float(days[:, -1].min()) == 1.0
        assert float(days[:, 0].max()) == 0.0
        assert bool((days.diff(dim=1) >= 0).all())
        assert float(days[:, 2].mean()) == pytest.approx(2 / 3, abs=0.1)


class TestFile:
    def test_round_trip(self, pretrained: Pretrained, tmp_path: Path) -> None:
        path = pretrained.save(tmp_path / "encoder.safetensors")
        again = Pretrained.load(path)
        assert again.digest == pretrained.digest
        assert again.scaling == pretrained.scaling
        assert again.info == json.loads(json.dumps(pretrained.info))
        assert (again.encoder.history, again.encoder.channels) == (3, (8, 8, 8))
        assert [p.name for p in tmp_path.iterdir()] == ["encoder.safetensors"]
        values, mask = torch.randn(1, 3, 16, 20), torch.ones(1, 3, 16, 20)
        with torch.no_grad():
            for a, b in zip(again.encoder(values, mask), pretrained.encoder(values, mask), strict=True):
                assert torch.equal(a, b)

    def test_does_not_overwrite(self, pretrained: Pretrained, tmp_path: Path) -> None:
        path = tmp_path / "encoder.safetensors"
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="exists: give another name, or overwrite=True"):
            pretrained.save(path)
        assert path.read_text() == "precious"
        assert Pretrained.load(pretrained.save(path, overwrite=True)).digest == pretrained.digest

    def test_damaged_weights(self, pretrained: Pretrained, tmp_path: Path) -> None:
        path = pretrained.save(tmp_path / "encoder.safetensors")
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="weights are not those of its digest; the file is damaged"):
            Pretrained.load(path)

    @pytest.mark.parametrize("keep", [0, 20, 3000])
    def test_cut_short(self, pretrained: Pretrained, tmp_path: Path, keep: int) -> None:
        path = pretrained.save(tmp_path / "encoder.safetensors")
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match="is not an encoder written by"):
            Pretrained.load(path)

    def test_another_safetensors_file(self, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match=r"other.safetensors is not an encoder written by xdownscale"):
            Pretrained.load(tmp_path / "other.safetensors")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Pretrained.load(tmp_path / "none.safetensors")

    @pytest.mark.parametrize("change", ["extra", "shape", "header"])
    def test_weights_of_another_architecture(
        self, pretrained: Pretrained, tmp_path: Path, change: str
    ) -> None:
        path = pretrained.save(tmp_path / "encoder.safetensors")
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["encoder"])
        weights = {k: w.clone() for k, w in pretrained.encoder.state_dict().items()}
        if change == "extra":
            weights["more"] = torch.zeros(1)
        elif change == "shape":
            weights["stem.bias"] = torch.zeros(9)
        else:
            del meta["architecture"]
        save_file(weights, path, {"encoder": json.dumps(meta)})
        with pytest.raises(ValueError, match=r"encoder\.safetensors"):
            Pretrained.load(path)


def test_digest_is_of_the_encoder_alone(pretrained: Pretrained) -> None:
    assert pretrained.digest == digest(pretrained.encoder)
    assert len(pretrained.digest) == 64


class TestPretexts:
    """What else an encoder may be taught, each beside what costs nothing."""

    @pytest.mark.parametrize(("pretext", "share"), [("refine", 0.95), ("masked", 0.95)])
    def test_better_than_the_trivial_answer(self, record: xr.DataArray, pretext: str, share: float) -> None:
        config = replace(CONFIG, pretext=pretext)
        info = pretrain(record, config=config).info
        assert 0 < info["validation_l1"] < share * info["trivial_l1"]
        assert info["config"]["pretext"] == pretext

    def test_refining_a_field_that_has_nothing_small_is_trivial(self) -> None:
        """Constant fields come back as they were; a gap stays one, and spoils no neighbour."""
        z = np.full((50, 32, 40), 3.0, dtype=np.float32)
        z[:, 4, 4] = np.nan
        config = replace(CONFIG, pretext="refine", dropout=0.0)
        history, mask, target, weight = module._batch(z, [10], config, module.generator(0, 0), "cpu")
        np.testing.assert_allclose(history[mask > 0], 3.0, rtol=1e-6)
        assert torch.equal(mask[:, -1:], weight)
        np.testing.assert_allclose(target[weight > 0], 3.0)

    def test_refining_gives_today_from_its_means(self) -> None:
        fields = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
        back = module._coarser(fields, 4)
        means = fields.reshape(2, 2, 4, 2, 4).mean(axis=(2, 4))
        np.testing.assert_allclose(back[:, 0, 0], means[:, 0, 0], rtol=1e-6)
        np.testing.assert_allclose(back.mean(axis=(1, 2)), fields.mean(axis=(1, 2)), rtol=1e-5)

    def test_masked_cells_are_hidden_and_asked_for(self) -> None:
        z = np.random.default_rng(0).random((50, 32, 40)).astype(np.float32) + 1
        config = replace(CONFIG, pretext="masked", dropout=0.0)
        history, mask, target, weight = module._batch(z, [10], config, module.generator(0, 0), "cpu")
        assert torch.equal(mask[:, -1:], 1 - weight)
        assert float(mask[:, :-1].min()) == 1.0
        assert float(history[:, -1:][weight > 0].abs().max()) == 0.0
        assert float(target.min()) >= 1.0
        assert 0.1 < float(weight.mean()) < 0.5

    def test_trivially_a_masked_cell_is_its_nearest_neighbour(self) -> None:
        history, mask = torch.tensor([[[[1.0, 0.0, 0.0, 4.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]])
        assert module._nearest(history, mask).tolist() == [[[[1.0, 1.0, 4.0, 4.0]]]]
