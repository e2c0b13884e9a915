"""Stage 2 learns, leaves the encoder alone, holds days out, and writes a whole card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from xdownscale import predict
from xdownscale.checkpoint import load, save
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, upsampling
from xdownscale.models import Card, Downscaler
from xdownscale.nn.encoder import Encoder, digest
from xdownscale.scaling import Log
from xdownscale.training import Pretrained, TrainConfig, train
from xdownscale.training import denoiser as module
from xdownscale.training.loop import Run
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

CONFIG = TrainConfig(
    steps=120,
    batch=4,
    days=2,
    crop=48,
    border=0,
    channels=(8, 8, 16),
    blocks=1,
    statics=("season",),
    seed=3,
    learning_rate=6e-3,
    ema=0.9,
)
ABOUT = {
    "name": "toy",
    "version": "0.1",
    "licence": "Apache-2.0",
    "authors": ["A. Author"],
    "limitations": ["a toy"],
    "training": {"data": "carried fields", "synthetic": True},
}


@pytest.fixture(scope="module")
def pretrained(records: tuple[xr.DataArray, xr.DataArray]) -> Pretrained:
    torch.manual_seed(0)
    return Pretrained(Encoder(3, (8, 8, 8)).eval(), Log.fit(records[0].values), {"from": "no training"})


@pytest.fixture(scope="module")
def trained(
    records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
) -> tuple[Downscaler, list[tuple[int, float, float | None]]]:
    seen: list[tuple[int, float, float | None]] = []
    model = train(*records, pretrained, config=CONFIG, card=ABOUT, report=lambda *row: seen.append(row))
    return model, seen


class TestGoingOn:
    """From a finished model: its encoder, and its denoiser to begin with."""

    def test_begins_where_the_other_ended(
        self, trained: tuple[Downscaler, list[Any]], records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        config = replace(CONFIG, steps=1, learning_rate=1e-9)
        model = train(*records, trained[0], config=config, card=ABOUT)
        for (name, ours), theirs in zip(
            model.denoiser.named_parameters(), trained[0].denoiser.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8, msg=name)
        assert model.card.encoder_digest == trained[0].card.encoder_digest
        assert model.card.training["pretraining"] == {"from": "no training"}

    def test_goes_on_learning(
        self, trained: tuple[Downscaler, list[Any]], records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        """Thirty steps more from there end far below thirty steps from nothing."""
        last: dict[str, float] = {}
        for name, start in (("on", trained[0]), ("fresh", Pretrained.of(trained[0]))):
            train(
                *records,
                start,
                config=replace(CONFIG, steps=30),
                card=ABOUT,
                report=lambda _, __, score, name=name: last.__setitem__(name, score or 0.0),
            )
        assert last["on"] < last["fresh"] - 0.1

    def test_learns_of_the_day_before_from_where_it_was(
        self, trained: tuple[Downscaler, list[Any]], records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        """The channels that are new begin at zero: without a state the model is the one it was."""
        config = replace(CONFIG, steps=1, learning_rate=1e-9, state=0.5)
        model = train(*records, trained[0], config=config, card=ABOUT)
        assert model.card.state
        old, new = (m.denoiser.unet.stem.weight for m in (trained[0], model))
        assert new.shape[1] == old.shape[1] + 8
        torch.testing.assert_close(new[:, : old.shape[1]], old, rtol=0, atol=1e-8)
        assert new[:, old.shape[1] :].abs().max() < 1e-6

    def test_another_architecture_is_refused(
        self, trained: tuple[Downscaler, list[Any]], records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        with pytest.raises(ValueError, match=r"toy cannot be gone on from.*'blocks': \(1, 2\)"):
            train(*records, trained[0], config=replace(CONFIG, blocks=2), card=ABOUT)

    def test_a_model_without_encoder_has_none_to_give(self, trained: tuple[Downscaler, list[Any]]) -> None:
        model = trained[0]
        card = replace(model.card, encoder_digest=None)
        with pytest.raises(ValueError, match="toy has no encoder"):
            Pretrained.of(Downscaler(card, model.denoiser))


class TestTransfer:
    """What the encoder may be, and what becomes of its weights."""

    @pytest.fixture
    def short(self) -> TrainConfig:
        return replace(CONFIG, steps=4)

    def test_tuned_changes_and_is_on_the_card(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, short: TrainConfig
    ) -> None:
        before = pretrained.digest
        model = train(*records, pretrained, config=replace(short, transfer="tuned"))
        assert model.card.encoder_digest == digest(model.encoder) != before  # type: ignore[arg-type]
        assert pretrained.digest == before, "what was given is left as it was"
        assert not any(p.requires_grad for p in model.encoder.parameters())  # type: ignore[union-attr]

    def test_random_is_fresh_and_frozen(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, short: TrainConfig
    ) -> None:
        one, same, other = (
            train(*records, pretrained, config=replace(short, transfer="random", seed=s)) for s in (3, 3, 4)
        )
        assert one.card.encoder_digest == same.card.encoder_digest
        assert len({m.card.encoder_digest for m in (one, other)} | {pretrained.digest}) == 3
        assert one.card.training["pretraining"] == {"random": True}

    def test_scratch_is_fresh_and_trained(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, short: TrainConfig
    ) -> None:
        """It begins where `random` stays."""
        random, scratch = (
            train(*records, pretrained, config=replace(short, transfer=t)) for t in ("random", "scratch")
        )
        assert scratch.card.encoder_digest == digest(scratch.encoder) != random.card.encoder_digest  # type: ignore[arg-type]
        ours, theirs = (m.encoder.stem.weight for m in (scratch, random))  # type: ignore[union-attr]
        assert 0 < float((ours - theirs).abs().max()) < 0.1
        assert not any(p.requires_grad for p in scratch.encoder.parameters())  # type: ignore[union-attr]

    def test_none_has_no_encoder_and_no_context(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, short: TrainConfig
    ) -> None:
        model = train(*records, pretrained, config=replace(short, transfer="none"))
        assert model.encoder is None
        assert model.card.encoder_digest is None
        assert model.history == 1
        assert len(model.denoiser.projections) == 0

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="transfer is 'melted': expected one of"):
            TrainConfig(transfer="melted")  # type: ignore[arg-type]


class TestSees:
    """What the encoder looks at: coarse history, fine days before today, coarse history on fine cells."""

    @pytest.mark.parametrize("sees", ["fine", "upsampled"])
    def test_learns_and_is_on_the_card(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, sees: Any
    ) -> None:
        model = train(*records, pretrained, config=replace(CONFIG, steps=3, sees=sees))
        assert model.card.sees == sees
        assert (model.history, model.past) == ((1, 3) if sees == "fine" else (3, 0))
        assert model.card.encoder_digest == digest(model.encoder) == pretrained.digest  # type: ignore[arg-type]
        assert all(bool(torch.isfinite(w).all()) for w in model.state().values())

    def test_the_denoiser_hears_of_the_fine_days(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        """Whether a fine day goes before changes what is predicted of a day."""
        model = train(*records, pretrained, config=replace(CONFIG, steps=8, sees="fine"))
        pairs = Pairs.of(*(Record.of(da, g) for da, g in zip(records, (MERRA2, G5NR), strict=True)))
        batch = pairs.part([10]).batch(model, replace(CONFIG, days=1, dropout=0.0), 0)
        with torch.no_grad():
            told = batch.context(model, pairs.coarse.grid)
            blind = replace(batch, mask=0 * batch.mask).context(model, pairs.coarse.grid)
        assert told is not None
        assert blind is not None
        assert [t.shape[-1] for t in told] == [24, 12, 6]
        assert float((told[0] - blind[0]).abs().max()) > 1e-3

    def test_more_fine_days_than_there_are(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        coarse, fine = records
        with pytest.raises(
            ValueError, match="none of the 2 days to learn from has the 3 fine days before it"
        ):
            train(coarse, fine[:3], pretrained, config=replace(CONFIG, sees="fine"))

    def test_an_encoder_of_another_quantity(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        other = replace(pretrained, info={"variable": "TOTEXTTAU"})
        with pytest.raises(ValueError, match="encoder learned TOTEXTTAU, the fine record holds DUEXTTAU"):
            train(*records, other, config=CONFIG)

    def test_going_on_with_another_sight(
        self, trained: tuple[Downscaler, list[Any]], records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        with pytest.raises(ValueError, match=r"cannot be gone on from.*'sees': \('coarse', 'fine'\)"):
            train(*records, trained[0], config=replace(CONFIG, sees="fine"), card=ABOUT)


def test_regression_learns_the_mean(
    records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
) -> None:
    """Its error is below the residual's own variance, 1, though it sees no noise."""
    scores: list[float | None] = []
    model = train(
        *records,
        pretrained,
        config=replace(CONFIG, process="regression"),
        report=lambda _, __, score: scores.append(score),
    )
    assert scores[-1] is not None
    assert scores[-1] < 0.97
    assert model.sampler == Sampler("direct", 1)


@pytest.fixture(scope="module")
def decoder(
    records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
) -> tuple[Downscaler, list[float]]:
    """A short training of a variational autoencoder, and its bounds on the days held out."""
    scores: list[float] = []

    def keep(_: int, __: float, score: float | None) -> None:
        if score is not None:
            scores.append(score)

    config = replace(CONFIG, process="vae")
    return train(*records, pretrained, config=config, card=ABOUT, report=keep), scores


class TestVariational:
    def test_learns_more_than_a_collapsed_one(self, decoder: tuple[Downscaler, list[float]]) -> None:
        """One that ignores its latent has no more than a deterministic network.

        After as many steps that has a mean square error of 0.79, a bound of -0.12. Measured here: -0.54.
        """
        assert decoder[1][-1] < -0.35

    def test_draws_by_its_latent(
        self,
        decoder: tuple[Downscaler, list[float]],
        records: tuple[xr.DataArray, xr.DataArray],
        tmp_path: Path,
    ) -> None:
        save(decoder[0], tmp_path / "vae.safetensors")
        model = load(tmp_path / "vae.safetensors")
        assert (model.card.process, model.sampler) == ("vae", Sampler("direct", 1))
        assert model.kernel.shape == (1, 1), "its latent is white"
        coarse = records[0].isel(time=[5])
        given: dict[str, Any] = {"domain_check": "ignore", "conserve": False}
        draws = np.log(predict(coarse, model, members=4, **given).values + 1e-3)
        mean = np.log(predict(coarse, model, product="mean", **given).values + 1e-3)
        assert draws.std(axis=0).mean() > 1e-4
        assert np.abs(draws.mean(axis=0) - mean).mean() < 2 * draws.std(axis=0).mean()
        again = predict(coarse, model, members=4, **given)
        np.testing.assert_array_equal(np.log(again.values + 1e-3), draws)

    def test_killed_resumes_to_the_same_weights(
        self,
        records: tuple[xr.DataArray, xr.DataArray],
        pretrained: Pretrained,
        tmp_path: Path,
        kill_at: Callable[..., Any],
    ) -> None:
        config = replace(CONFIG, process="vae", steps=4)
        whole = train(*records, pretrained, config=config, card=ABOUT)
        killed = kill_at(module, 3)
        with pytest.raises(KeyboardInterrupt):
            train(*records, pretrained, config=config, card=ABOUT, folder=tmp_path, report=killed)
        again = train(*records, pretrained, config=config, card=ABOUT, folder=tmp_path)
        assert digest(whole.denoiser) == digest(again.denoiser)


class TestLearning:
    def test_loss_falls(
        self,
        trained: tuple[Downscaler, list[Any]],
        records: tuple[xr.DataArray, xr.DataArray],
        pretrained: Pretrained,
    ) -> None:
        """A fresh network predicts zero: E |e - r|^2 = 2.

        Where r and e are alike and nothing else is known the best is E 1 / ((1 - t)^2 + t^2), near 1.6.
        Measured: 1.87, and 1.54 after 120 steps.
        """
        rows: list[Any] = []
        train(*records, pretrained, config=replace(CONFIG, steps=1), report=lambda *row: rows.append(row))
        begin, end = rows[-1][2], trained[1][-1][2]
        assert begin == pytest.approx(2.0, abs=0.4)
        assert end < 0.87 * begin
        assert [row[0] for row in trained[1]] == list(range(1, 121))

    def test_reproducible(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, tmp_path: Path
    ) -> None:
        """Killed and resumed, and in a process whose global random state is another."""
        config = replace(CONFIG, steps=6)
        whole = train(*records, pretrained, config=config)

        def stop(step: int, running: float, score: float | None) -> None:
            if step == 5:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Run", lambda *a: Run(*a, every=3))
            with pytest.raises(KeyboardInterrupt):
                train(*records, pretrained, config=config, folder=tmp_path, report=stop)
        torch.manual_seed(99)
        steps: list[int] = []
        again = train(
            *records, pretrained, config=config, folder=tmp_path, report=lambda n, *_: steps.append(n)
        )
        assert steps == [4, 5, 6]
        assert digest(again.denoiser) == digest(whole.denoiser)
        with pytest.raises(ValueError, match="state of another training"):
            train(*records, pretrained, config=replace(config, roughness=0.1), folder=tmp_path)

    @pytest.mark.parametrize("process", ["flow", "ddpm"])
    def test_processes(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained, process: Any
    ) -> None:
        model = train(*records, pretrained, config=replace(CONFIG, steps=3, process=process))
        card = model.card
        assert card.process == model.schedule.name == process
        model.sampler.check(model.schedule)
        if process == "flow":
            assert model.sampler == Sampler("midpoint", 4)
            assert model.kernel.shape[0] > 1  # noise like the residual
        else:
            assert model.sampler == Sampler("dpmpp", 8)
            white = np.zeros_like(model.kernel)
            white[white.shape[0] // 2, white.shape[1] // 2] = 1.0
            np.testing.assert_allclose(model.kernel, white)
            for n, times in card.times.items():
                assert (len(times), times[0], times[-1]) == (int(n) + 1, 1.0, 0.0)

    def test_degenerate_choices(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        """No gradient loss, linear upsampling, no static maps, everything augmented."""
        config = replace(
            CONFIG,
            steps=2,
            roughness=0.0,
            upsampling="linear",
            statics=(),
            degrade=1.0,
            dropout=1.0,
            edges=1.0,
        )
        model = train(*records, pretrained, config=config)
        assert model.card.upsampling == "linear"
        assert model.card.architecture["denoiser"]["condition"] == 2
        assert all(bool(torch.isfinite(w).all()) for w in model.state().values())


class TestFrozen:
    def test_digest_before_and_after(
        self, trained: tuple[Downscaler, list[Any]], pretrained: Pretrained
    ) -> None:
        model, _ = trained
        assert model.encoder is not None
        assert digest(model.encoder) == pretrained.digest == model.card.encoder_digest
        assert model.encoder is not pretrained.encoder

    def test_denoiser_uses_it(self, trained: tuple[Downscaler, list[Any]]) -> None:
        """The projections have learned: other features, another prediction."""
        model, _ = trained
        generator = torch.Generator().manual_seed(0)
        x, condition = (torch.randn(1, c, 16, 16, generator=generator) for c in (1, 4))
        level = torch.tensor([0.5])
        maps = [torch.randn(1, c, 16 // s, 16 // s) for c, s in ((8, 2), (8, 4), (16, 8))]
        with torch.no_grad():
            a = model.denoiser(x, level, condition, maps)
            b = model.denoiser(x, level, condition, [m * 0 for m in maps])
        assert float((a - b).abs().max()) > 1e-3

    def test_a_changed_encoder_is_no_result(
        self,
        records: tuple[xr.DataArray, xr.DataArray],
        pretrained: Pretrained,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def meddle(denoiser: Any, loss: Callable[[int], Any], *rest: Any, **options: Any) -> None:
            loss.__self__.model.encoder.stem.bias.data.add_(1e-3)  # type: ignore[attr-defined]

        monkeypatch.setattr(module, "fit", meddle)
        with pytest.raises(
            RuntimeError, match=r"the frozen encoder changed in training: [0-9a-f]{64} before"
        ):
            train(*records, pretrained, config=CONFIG)


class TestSplit:
    @pytest.mark.parametrize(
        ("n", "learn", "held"),
        [(30, 24, 3), (200, 170, 20), (763, 677, 76), (3, 2, 1), (11, 9, 1), (2, 1, 1)],
    )
    def test_last_tenth_behind_a_gap(self, n: int, learn: int, held: int) -> None:
        whole = Pairs(None, None, tuple((i, i) for i in range(n)))  # type: ignore[arg-type]
        a, b = module.split(whole)
        assert a.days == whole.days[:learn]
        assert b.days == whole.days[n - held :]
        assert n - learn - held == min(10, n // 10)

    def test_too_few(self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained) -> None:
        coarse, fine = records
        with pytest.raises(ValueError, match="1 days in common: expected at least"):
            train(coarse, fine.isel(time=[4]), pretrained, config=CONFIG)

    def test_on_the_card(self, trained: tuple[Downscaler, list[Any]]) -> None:
        told = trained[0].card.training
        assert (told["first"], told["last"], told["days"]) == ("2005-07-01", "2005-07-24", 24)
        assert told["held_out"] == ["2005-07-28", "2005-07-30"]


class TestCard:
    def test_whole_and_survives(self, trained: tuple[Downscaler, list[Any]]) -> None:
        card = trained[0].card
        assert Card.from_json(card.to_json()) == card
        assert (card.name, card.version, card.authors) == ("toy", "0.1", ("A. Author",))
        assert card.synthetic
        assert card.limitations == ("a toy",)
        assert (card.variable, card.units, card.long_name) == ("DUEXTTAU", "1", "dust optical thickness")
        assert (card.upsampling, card.statics, card.months) == ("cubic", ("season",), (7,))
        assert card.training["config"]["steps"] == 120
        assert card.training["pretraining"] == {"from": "no training"}
        assert card.architecture == {
            "encoder": {"history": 3, "channels": [8, 8, 8]},
            "denoiser": {
                "condition": 4,
                "context": [8, 8, 8],
                "channels": [8, 8, 16],
                "blocks": 1,
                "embedding": 64,
            },
            "climatology": None,
        }

    def test_region_is_that_of_the_data(self, trained: tuple[Downscaler, list[Any]]) -> None:
        card = trained[0].card
        np.testing.assert_allclose(card.region["lat"], [17.75, 23.75])
        np.testing.assert_allclose(card.region["lon"], [352 * 0.625 - 180.3125, 365 * 0.625 - 180.3125])
        assert trained[0].coarse == MERRA2
        assert trained[0].fine == G5NR

    def test_measured_numbers(
        self,
        trained: tuple[Downscaler, list[Any]],
        records: tuple[xr.DataArray, xr.DataArray],
        pretrained: Pretrained,
    ) -> None:
        """Scale, quantiles and range, computed here from the 24 training days."""
        card, (coarse, fine) = trained[0].card, records
        y, x = coarse.values[:24].astype(float), fine.values[:24].astype(float)
        T = pretrained.scaling.forward
        grid, window = (Record.of(da, g).grid for da, g in zip(records, (MERRA2, G5NR), strict=True))
        u = upsampling(grid, window, "cubic")
        r = np.stack([np.asarray(T(b)) - u(np.asarray(T(a))) for a, b in zip(y, x, strict=True)])
        assert card.residual_scale == pytest.approx(r.std(), rel=1e-4)
        np.testing.assert_allclose(card.source_quantiles, np.quantile(y, np.linspace(0, 1, 101)), rtol=1e-5)
        assert card.value_range == pytest.approx((0.0, 2 * y.max()), rel=1e-5)

    def test_given_wins_over_told(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        given = ABOUT | {"units": "kg", "months": [6, 7], "value_range": (0.0, 9.0)}
        card = train(*records, pretrained, config=replace(CONFIG, steps=1), card=given).card
        assert (card.units, card.months, card.value_range) == ("kg", (6, 7), (0.0, 9.0))
        assert card.training["data"] == "carried fields"
        assert card.training["days"] == 24

    def test_measured_wins_over_given(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        given = ABOUT | {"residual_scale": 1e9, "process": "ddpm"}
        card = train(*records, pretrained, config=replace(CONFIG, steps=1), card=given).card
        assert card.residual_scale < 10
        assert card.process == "flow"


class TestGaps:
    def test_missing_truth_is_masked(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        """A fine record that is half clouds trains like a whole one, with nearly the same scale."""
        coarse, fine = records
        clouds = np.random.default_rng(0).random((30, 12, 17)) < 0.5
        clouds = clouds.repeat(8, 1).repeat(8, 2)[:, : fine.shape[1], : fine.shape[2]]
        wide = np.pad(
            clouds, [(0, 0), *((0, n - m) for n, m in zip(fine.shape[1:], clouds.shape[1:], strict=True))]
        )
        rows: list[Any] = []
        model = train(
            coarse, fine.where(~wide), pretrained, config=CONFIG, report=lambda *row: rows.append(row)
        )
        assert all(bool(torch.isfinite(w).all()) for w in model.state().values())
        assert rows[-1][2] < 1.7
        whole = train(coarse, fine, pretrained, config=replace(CONFIG, steps=1))
        assert model.card.residual_scale == pytest.approx(whole.card.residual_scale, rel=0.05)

    def test_missing_coarse_does_not_spoil_the_scale(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        coarse, fine = records
        gappy = coarse.copy()
        gappy[:, 4:6, 5:8] = np.nan
        config = replace(CONFIG, steps=2)
        model, whole = (train(c, fine, pretrained, config=config) for c in (gappy, coarse))
        assert model.card.residual_scale == pytest.approx(whole.card.residual_scale, rel=0.1)
        assert all(bool(torch.isfinite(w).all()) for w in model.state().values())

    def test_no_truth_at_all(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        coarse, fine = records
        with pytest.raises(ValueError, match=r"the fine truth has no valid cell .*: check its fill value"):
            train(coarse, fine * np.nan, pretrained, config=CONFIG)

    def test_coarse_record_too_small(
        self, records: tuple[xr.DataArray, xr.DataArray], pretrained: Pretrained
    ) -> None:
        coarse, fine = records
        with pytest.raises(ValueError, match=r"coarse record covers .*: expected .*; give a wider"):
            train(coarse.isel(lat=slice(2, None)), fine, pretrained, config=CONFIG)
