"""What an output says of its making."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from xdownscale.inference.job import Job, prepare
from xdownscale.inference.provenance import attributes, now

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def job(days: Any, tiny_model: Downscaler, quick: dict[str, Any]) -> Job:
    return prepare(days(2), tiny_model, members=2, seed=7, product="draw", conserve=True, dims=None, **quick)


def test_model_and_options(job: Job) -> None:
    attrs = attributes(job)
    assert attrs["downscale_model"] == "tiny"
    assert attrs["downscale_model_sha256"] == "not read from a file"
    assert (attrs["downscale_seed"], attrs["downscale_evaluations"]) == (7, 2)
    assert attrs["downscale_training"] == "synthetic"
    assert "simulated fields (synthetic training data)" in attrs["comment"]
    assert attrs["downscale_conserve"] == "true"
    mean = attributes(replace(job, options=replace(job.options, product="mean")))
    assert mean["downscale_evaluations"] == 1
    assert mean["summary"].startswith("Conditional mean of")


def test_input_in_memory_by_its_digest(job: Job, days: Any) -> None:
    digest = hashlib.sha256(days(2).values.tobytes()).hexdigest()[:16]
    assert attributes(job)["downscale_input"] == f"DUEXTTAU, 2 times, 4 x 5 cells, sha256 {digest}"


def test_input_on_dask_by_its_name(days: Any, tiny_model: Downscaler, quick: Any, lazily: Any) -> None:
    da = days(2).chunk(time=1)
    with lazily():
        job = prepare(da, tiny_model, members=1, seed=0, product="draw", conserve=True, dims=None, **quick)
        said = attributes(job)["downscale_input"]
    assert said == f"DUEXTTAU, 2 times, 4 x 5 cells, dask array {da.data.name}, values not read"


def test_the_residual_where_it_is_known(job: Job) -> None:
    name = "downscale_residual_before_conservation"
    assert attributes(job, 0.25)[name] == 0.25
    assert name not in attributes(job)


@pytest.mark.parametrize(
    ("given", "said"),
    [("time: mean", "time: mean area: mean"), ("", "area: mean"), ("area: mean", "area: mean")],
)
def test_cell_methods(job: Job, given: str, said: str) -> None:
    told = replace(job.field, source=job.field.source.assign_attrs(cell_methods=given))
    assert attributes(replace(job, field=told))["cell_methods"] == said


def test_nothing_empty_is_written(job: Job) -> None:
    bare = job.model.with_card(replace(job.model.card, standard_name=""))
    assert "standard_name" not in attributes(replace(job, model=bare))


def test_the_date_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86461")
    assert now() == "1970-01-02T00:01:01Z"
