"""Everything at once is what its parts give alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics import semivariogram, wasserstein
from xdownscale.diagnostics.borders import seams
from xdownscale.diagnostics.evaluation import DIAGNOSTICS, evaluate, part
from xdownscale.diagnostics.spectra import spectrum
from xdownscale.diagnostics.verification import scores
from xdownscale.patches import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable


def test_scores_are_those_of_scores(case: Callable) -> None:
    prediction, truth, coarse = case(days=6)
    found = evaluate(prediction, truth, coarse, thresholds=[0.2], windows=[1, 5, 99], intervals=20, block=2)
    alone = scores(
        prediction,
        truth,
        coarse=coarse,
        baselines=("nearest", "bilinear", "bicubic"),
        thresholds=[0.2],
        windows=[1, 5],
        quantiles=(0.5, 0.9, 0.95, 0.99, 0.999),
        space=("linear", "log"),
        intervals=20,
        block=2,
    )
    same = found[list(alone.data_vars)].drop_vars(["band", "band_bounds"], errors="ignore")
    xr.testing.assert_identical(same.drop_attrs(), alone.drop_attrs())
    assert found.crps.attrs == alone.crps.attrs


def test_spectra_are_those_of_spectrum(case: Callable) -> None:
    prediction, truth, coarse = case()
    found = part(
        evaluate(prediction, truth, coarse, baselines={"mine": truth * 2, "near": "nearest"}), "spectrum"
    )
    assert found.power.dims == ("space", "source", "wavenumber")
    for space, change in (("linear", lambda da: da), ("log", lambda da: np.log(da + 1e-3))):
        for source, fields in (("prediction", prediction), ("mine", 2 * truth)):
            alone = spectrum(change(fields), truth=change(truth))
            one = found.sel(space=space, source=source)
            np.testing.assert_allclose(one.power, alone.power, rtol=1e-10)
            np.testing.assert_allclose(one.ratio, alone.ratio, rtol=1e-10)
    np.testing.assert_allclose(found.ratio.sel(space="linear", source="mine"), 4.0, rtol=1e-10)


def test_seams_where_a_tiling_is_given(case: Callable) -> None:
    prediction, truth, _ = case()
    tiling = Tiling(patch=24, halo=4, ramp=8)
    whole = evaluate(prediction, truth, tiling=tiling)
    found = part(whole, "seams")
    alone = seams(np.log(prediction + 1e-3), tiling=tiling)
    np.testing.assert_allclose(found.roughness, alone.roughness, rtol=1e-10)
    with pytest.raises(ValueError, match="no part 'seams'"):
        part(whole.drop_vars([v for v in whole if str(v).startswith("seams")]), "seams")


def test_thresholds_are_the_truths_quantiles(case: Callable) -> None:
    prediction, truth, _ = case(days=2)
    found = evaluate(prediction, truth)
    exact = np.quantile(truth, [0.5, 0.9, 0.99])
    np.testing.assert_allclose(found.threshold, exact, rtol=0.06)
    assert [float(f"{t:.2g}") for t in found.threshold.values] == found.threshold.values.tolist()
    assert found.base_rate.values == pytest.approx([0.5, 0.1, 0.01], rel=0.1)


def test_lazy_is_eager_and_without_time_or_members(case: Callable) -> None:
    prediction, truth, coarse = case(days=2, members=2)
    few = {"baselines": ["nearest"], "windows": []}
    eager = evaluate(prediction, truth, coarse, **few)
    lazy = evaluate(prediction.chunk(time=1), truth.chunk(time=2), coarse.chunk(time=1), **few)
    xr.testing.assert_allclose(eager.drop_attrs(), lazy.drop_attrs(), rtol=1e-12)
    one = [da.isel(time=[0]) for da in (prediction.isel(realization=[0]), truth, coarse)]
    bare = evaluate(*(da.squeeze(drop=True) for da in one), **few)
    xr.testing.assert_allclose(bare.drop_attrs(), evaluate(*one, **few).drop_attrs(), rtol=1e-12)


def test_provenance_and_round_trip(case: Callable, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    prediction, truth, coarse = case()
    prediction.attrs |= {"model": "tiny", "seed": 3, "levels": [1, 2]}
    found = evaluate(prediction, truth, coarse, baselines=["nearest"])
    assert found.attrs["date_created"] == "2001-09-09T01:46:40Z"
    assert found.attrs["package"].startswith("xdownscale ")
    assert found.attrs["prediction_model"] == "tiny"
    assert found.attrs["prediction_seed"] == 3
    assert "prediction_levels" not in found.attrs
    assert found.attrs["times"] == "3, 2005-06-01T12:00 to 2005-06-03T12:00"
    file = f"{tmp_path}/found.nc"
    found.to_netcdf(file)
    with xr.open_dataset(file) as back:
        xr.testing.assert_identical(back.load(), found)


def test_the_truths_semivariogram_is_made_once(case: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(da: xr.DataArray, **options: Any) -> xr.Dataset:
        seen.append("realization" in da.dims)
        return semivariogram(da, **options)

    monkeypatch.setattr("xdownscale.diagnostics.evaluation.semivariogram", counted)
    evaluate(*case(days=2, members=2), baselines=["nearest", "bilinear"], windows=[])
    assert seen == [False, True, False, False], "the truth, and each of the sources"


def test_names_do_not_collide() -> None:
    names = [one.name for one in DIAGNOSTICS]
    assert len(set(names)) == len(names)
    assert not set(names) & {"seams", "fss", "rank", "quantile", "base", "conservation"}


def test_semivariogram_and_wasserstein_are_those_of_their_functions(case: Callable) -> None:
    prediction, truth, _ = case(days=2, members=2)
    found = evaluate(prediction, truth)
    logs = {name: np.log(da + 1e-3) for name, da in (("prediction", prediction), ("truth", truth))}
    ours = part(found, "semivariogram").sel(source="prediction")
    assert float(ours["lag"].max()) < 800
    centres = ours["lag"].values
    edges = list(centres - (centres[1] - centres[0]) / 2)
    by_hand = {
        name: semivariogram(da, lags=edges, model=None).semivariance.values for name, da in logs.items()
    }
    np.testing.assert_allclose(ours["semivariance"].values[:-1], by_hand["prediction"], rtol=1e-9)
    np.testing.assert_allclose(ours["ratio"].values[:-1], by_hand["prediction"] / by_hand["truth"], rtol=1e-9)
    distance = part(found, "wasserstein").sel(source="prediction")
    for space, (a, b) in (("linear", (prediction, truth)), ("log", tuple(logs.values()))):
        expected = float(wasserstein(a, b).w1)
        assert float(distance.w1.sel(space=space)) == pytest.approx(expected, rel=1e-3), "binned, lazily"
