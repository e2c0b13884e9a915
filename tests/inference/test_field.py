"""`predict` and `explain` on labels: provenance, options, ensembles as input, and their agreement."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr

from xdownscale import Sampler, Tiling
from xdownscale.grid import G5NR, MERRA2, coarsening, refined
from xdownscale.inference.domain import DomainError
from xdownscale.inference.field import explain, predict

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

WINDOW = MERRA2.window((240, 5), (360, 6))


@pytest.fixture
def coarse(tiny_model: Downscaler) -> xr.DataArray:
    """Four July days, labelled as the model wants them."""
    card = tiny_model.card
    values = np.random.default_rng(5).gamma(2.0, 0.15, (4, *WINDOW.shape))
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(4) * np.timedelta64(1, "D")
    return xr.DataArray(
        values,
        {"time": time, "lat": WINDOW.y.values, "lon": WINDOW.x.values},
        ("time", "lat", "lon"),
        card.variable,
        {"units": card.units, "standard_name": card.standard_name, "cell_methods": "time: mean"},
    )


def quick(da: xr.DataArray, model: Downscaler, **options: Any) -> xr.DataArray:
    return predict(da, model, **({"domain_check": "ignore", "progress": False} | options))


def test_provenance(coarse: xr.DataArray, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    attrs = quick(coarse, tiny_model, seed=7, sampler=Sampler("midpoint", 2)).attrs
    assert attrs["date_created"] == "1970-01-02T00:00:00Z"
    assert attrs["downscale_seed"] == 7
    assert attrs["downscale_evaluations"] == 2
    assert attrs["downscale_training"] == "synthetic"
    assert attrs["cell_methods"] == "time: mean area: mean"
    digest = hashlib.sha256(np.ascontiguousarray(coarse.values).tobytes()).hexdigest()[:16]
    assert attrs["downscale_input"].endswith(f"4 times, 5 x 6 cells, sha256 {digest}")


@pytest.mark.parametrize("product", ["draw", "mean"])
def test_conserves_the_coarse_mean(coarse: xr.DataArray, tiny_model: Downscaler, product: Any) -> None:
    out = quick(coarse, tiny_model, product=product)
    back = coarsening(refined(WINDOW, G5NR), WINDOW)(out.values[0, 2].astype(np.float64))
    np.testing.assert_allclose(back, coarse.values[2], rtol=1e-5)


def test_an_ensemble_of_inputs_is_broadcast(coarse: xr.DataArray, tiny_model: Downscaler) -> None:
    """Each of another dimension is downscaled as if it were alone."""
    several = xr.concat([coarse, 2 * coarse], "number").assign_coords(number=[5, 9])
    out = quick(several, tiny_model)
    assert out.dims == ("number", "realization", "time", "lat", "lon")
    assert out.number.values.tolist() == [5, 9]
    np.testing.assert_array_equal(out.sel(number=9).values, quick(2 * coarse, tiny_model).values)


def test_a_dataset_of_one_variable(coarse: xr.DataArray, tiny_model: Downscaler) -> None:
    dataset = coarse.to_dataset()
    np.testing.assert_array_equal(quick(dataset, tiny_model).values, quick(coarse, tiny_model).values)
    dataset["other"] = coarse
    with pytest.raises(ValueError, match=r"the Dataset has the variables .*: choose one"):
        quick(dataset, tiny_model)


def test_members_are_what_they_are(coarse: xr.DataArray, tiny_model: Downscaler) -> None:
    few, more = (quick(coarse, tiny_model, members=m, seed=3) for m in (1, 3))
    np.testing.assert_array_equal(few.values[0], more.values[0])
    assert float(more.std("realization").mean()) > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"members": 0}, ValueError, "members is 0: expected at least 1"),
        ({"members": 2.0}, TypeError, r"members is 2.0: expected a whole number"),
        ({"seed": -1}, ValueError, "seed is -1: expected at least 0"),
        ({"product": "median"}, ValueError, r"product is 'median': expected one of \['draw', 'mean'\]"),
        ({"conserve": 1}, TypeError, "conserve is 1: expected True or False"),
        ({"sampler": 4}, TypeError, "sampler is 4: expected a Sampler"),
        ({"tiling": 64}, TypeError, "tiling is 64: expected a Tiling"),
        ({"device": "abacus"}, ValueError, "device is 'abacus'"),
        ({"domain_check": "maybe"}, ValueError, "domain_check is 'maybe'"),
    ],
)
@pytest.mark.parametrize("function", [predict, explain])
def test_options_are_checked_before_anything_is_drawn(
    coarse: xr.DataArray,
    tiny_model: Downscaler,
    function: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny_model.denoiser, "forward", pytest.fail)
    with pytest.raises(error, match=message):
        function(coarse, tiny_model, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_here(coarse: xr.DataArray, tiny_model: Downscaler) -> None:
    with pytest.raises(ValueError, match="torch finds no CUDA device here"):
        quick(coarse, tiny_model, device="cuda")


class TestExplain:
    def test_says_what_predict_makes(
        self, coarse: xr.DataArray, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = quick(coarse, tiny_model, members=2)
        monkeypatch.setattr(tiny_model.denoiser, "forward", pytest.fail)
        plan = explain(coarse, tiny_model, members=2)
        assert plan.fine.shape == out.shape[-2:]
        assert plan.output_bytes == out.nbytes
        assert (plan.days, plan.members, plan.evaluations) == (4, 2, tiny_model.sampler.evaluations)

    def test_counts_missing_history(self, coarse: xr.DataArray, tiny_model: Downscaler) -> None:
        """Three days of history: two are missing for the first day, one for the second."""
        assert tiny_model.history == 3
        assert explain(coarse, tiny_model).history == (3, 3)
        assert explain(coarse.isel(time=[0]), tiny_model).history == (3, 2)

    def test_a_patch_is_no_larger_than_the_domain(self, coarse: xr.DataArray, tiny_model: Downscaler) -> None:
        """Overlap costs nothing where one patch covers all: evaluations over the cells computed and kept."""
        plan = explain(coarse, tiny_model, tiling=Tiling(patch=496))
        assert plan.patch == plan.extended == (144, 160)
        kept = plan.fine.shape[0] * plan.fine.shape[1]
        assert plan.evaluations_per_cell == pytest.approx(plan.evaluations * 144 * 160 / kept)

    def test_counts_patches(self, coarse: xr.DataArray, tiny_model: Downscaler) -> None:
        one = explain(coarse, tiny_model, tiling=Tiling(patch=None))
        assert one.patches == 1
        assert one.patch == one.extended

    def test_lists_what_predict_raises(self, coarse: xr.DataArray, tiny_model: Downscaler) -> None:
        winter = coarse.assign_coords(time=coarse.time - np.timedelta64(181, "D"))
        with pytest.raises(DomainError, match="months"):
            predict(winter, tiny_model)
        assert any("months [1]" in finding for finding in explain(winter, tiny_model).findings)
