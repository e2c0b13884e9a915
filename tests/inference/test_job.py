"""What a job holds once everything about it was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from xdownscale import Sampler, Tiling
from xdownscale.inference.domain import DomainError
from xdownscale.inference.job import Job, prepare
from xdownscale.registry import Reference

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler


def made(da: Any, model: Any, **options: Any) -> Job:
    asked = {
        "members": 2, "seed": 7, "product": "draw", "sampler": None, "tiling": None, "conserve": True,
        "domain_check": "ignore", "dims": None, "device": "cpu",
    }  # fmt: skip
    return prepare(da, model, **(asked | options))


def test_in_memory(days: Any, tiny_model: Downscaler) -> None:
    job = made(days(3), tiny_model)
    assert job.values is not None
    np.testing.assert_array_equal(job.values, days(3).values)
    assert job.carried is tiny_model
    assert (job.options.members, job.options.seed) == ((0, 1), 7)
    assert job.options.sampler == tiny_model.sampler
    assert job.options.tiling == Tiling()
    assert job.findings.distance is not None


def test_on_dask(days: Any, checkpoint: str, lazily: Any) -> None:
    with lazily():
        job = made(days(3).chunk(time=1), checkpoint)
    assert job.values is None
    assert job.findings.distance is None
    assert isinstance(job.carried, Reference)
    assert job.carried.sha256 == job.model.sha256


def test_shape_is_the_result_s(days: Any, tiny_model: Downscaler) -> None:
    several = days(3).expand_dims(number=[1, 2]).expand_dims(lev=[0.0])
    job = made(several, tiny_model)
    assert job.shape == (2, 2, 3, *job.fine.shape)
    assert job.fine.shape == (33, 51)  # 4 x 5 cells of 8 x 10, and one more for edges on fine centres


def test_the_mean_has_one_member(days: Any, tiny_model: Downscaler) -> None:
    assert made(days(1), tiny_model, product="mean", members=5).options.members == (0,)


def test_a_sampler_by_name(days: Any, tiny_model: Downscaler) -> None:
    assert made(days(1), tiny_model, sampler="euler").options.sampler == Sampler("euler", 4)


def test_quiet_lists_what_is_raised(days: Any, tiny_model: Downscaler) -> None:
    winter = days(2).assign_coords(time=days(2).time - np.timedelta64(181, "D"))
    with pytest.raises(DomainError, match="months"):
        made(winter, tiny_model, domain_check="raise")
    assert any(
        "months" in m for m in made(winter, tiny_model, domain_check="raise", quiet=True).findings.messages
    )


def test_bounds_on_dask_are_kept_for_later(days: Any, tiny_model: Downscaler, lazily: Any) -> None:
    da = days(2)
    da.lat.attrs["bounds"] = "lat_bnds"
    dataset = da.to_dataset().assign(lat_bnds=(("lat", "bnds"), np.zeros((4, 2)))).chunk(time=1)
    for ds in (dataset, dataset.set_coords("lat_bnds")):
        with lazily():
            job = made(ds, tiny_model)
        assert job.bounds is not None
        assert list(job.bounds.data_vars) == ["lat_bnds"]
    with pytest.raises(ValueError, match="contradict 'lat'"):
        made(dataset.compute(), tiny_model)


@pytest.mark.parametrize("kind", [list, xr.DataTree])
def test_no_array(tiny_model: Downscaler, kind: Any) -> None:
    with pytest.raises(TypeError, match="expected an xarray DataArray"):
        made(kind(), tiny_model)
