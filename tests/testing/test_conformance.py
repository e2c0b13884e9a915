"""`check_model`: sound models keep every promise, and each promise can be broken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

import xdownscale
from xdownscale.grid import Axis, Grid
from xdownscale.models import Card, Downscaler
from xdownscale.models.baselines import interpolation
from xdownscale.testing import CHECKS, Conformance, check_model, checks, example
from xdownscale.testing.checks import PROMISES, Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLOW = ("memory",)
QUICK = tuple(name for name in CHECKS if name not in SLOW)


def statuses(found: Conformance) -> dict[str, str]:
    return {c.name: c.status for c in found.checks}


class TestSound:
    def test_a_network(self, tiny_model: Downscaler) -> None:
        found = check_model(tiny_model)
        assert found, str(found)
        assert {n for n, s in statuses(found).items() if s != "kept"} == {"continuation"}
        assert [c.name for c in found.checks] == list(CHECKS)

    def test_a_network_that_is_told_the_day_before(self, tiny_state: Downscaler) -> None:
        found = check_model(tiny_state, only=QUICK)
        assert set(statuses(found).values()) == {"kept"}, str(found)

    def test_interpolation_draws_nothing(self, tiny_model: Downscaler) -> None:
        found = check_model(interpolation("bicubic", tiny_model.card), only=QUICK)
        assert found, str(found)
        assert {n for n, s in statuses(found).items() if s != "kept"} == {"spread", "continuation"}

    def test_a_signed_quantity_on_a_plane(self, make_card: Callable[..., Card]) -> None:
        coarse = Grid(Axis(4e3, 8e3, 0, 60, "plane"), Axis(4e3, 8e3, 0, 50, "plane"), "EPSG:32637")
        fine = Grid(Axis(500.0, 1e3, 0, 480, "plane"), Axis(500.0, 1e3, 0, 400, "plane"), "EPSG:32637")
        card = make_card(
            variable="t2m", standard_name="air_temperature", long_name="", units="K", wavelength_nm=None,
            scaling={"name": "identity", "mean": 280.0, "std": 10.0}, value_range=(-300.0, 400.0),
            coarse=coarse.to_dict(), fine=fine.to_dict(), region={"y": [0.0, 480e3], "x": [0.0, 400e3]},
            cadence="6h", source_quantiles=(),
        )  # fmt: skip
        found = check_model(Downscaler.build(card), only=QUICK)
        assert found, str(found)
        assert statuses(found)["roll"] == statuses(found)["domain"] == "not applicable"

    def test_a_checkpoint_by_its_path(self, tiny_model: Downscaler, tmp_path: Path) -> None:
        sha256 = xdownscale.save(tiny_model, tmp_path / "a b.safetensors")
        found = check_model(tmp_path / "a b.safetensors", only=["card", "save_and_load"])
        assert (bool(found), found.sha256) == (True, sha256)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["djf_asia", "mam_asia", "jja_asia", "son_asia"])
    def test_bundled(self, name: str) -> None:
        found = check_model(name)
        assert found, str(found)


Draw = Any


def altered(change: Callable[[Any, Any], Any]) -> Any:
    """`predict` with a fault: what it gave, and its options, go through a function."""

    def fault(predict: Draw) -> Draw:
        def run(da: Any, model: Any, **options: Any) -> Any:
            out = predict(da, model, **options)
            with xr.set_options(keep_attrs=True):
                return change(out, options | {"da": da, "model": model})

        return run

    return fault


def told(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """`predict` with a fault: its options go through a function."""
    return lambda predict: lambda da, model, **options: predict(da, model, **(options | change(options)))


def moved(out: xr.DataArray, by: float) -> xr.DataArray:
    return out.assign_coords(lat=out.lat + by)


def framed(out: xr.DataArray, _: Any) -> xr.DataArray:
    """Every cell feels how large the frame is."""
    return out * (1 + 1e-4 * out.sizes["lat"])


FAULTS: list[tuple[str, Any]] = [
    ("grid", altered(lambda out, _: moved(out, 1e-3))),
    ("grid", altered(lambda out, _: out[..., 1:, :])),
    ("units", altered(lambda out, _: out.assign_attrs(units="K"))),
    ("units", altered(lambda out, _: out.rename("AOD"))),
    ("synthetic", altered(lambda out, _: out.assign_attrs(downscale_training="real"))),
    ("values", altered(lambda out, _: -out)),
    ("values", altered(lambda out, _: out.where(out < out.max()))),
    ("seed", altered(lambda out, _: out + np.float32(np.random.default_rng().normal()))),
    ("seed", told(lambda _: {"seed": 0})),
    ("members", altered(lambda out, o: out * (1 + 1e-6 * o["members"]))),
    ("spread", altered(lambda out, _: 0 * out + out[0])),
    ("spread", altered(lambda out, _: (out / out[0]) ** 100 * out[0])),
    ("coarse_consistency", altered(lambda out, _: out * 1.0001)),
    ("coarse_consistency", altered(lambda out, o: out * 1.0001 if o.get("product") == "mean" else out)),
    ("flip", altered(lambda out, _: out * xr.DataArray(np.linspace(1, 1.1, out.sizes["lat"]), dims="lat"))),
    ("roll", altered(lambda out, _: out * (1.1 if out.lon.mean() < 0 else 1))),
    ("dimensions", altered(lambda out, o: out * (1 if o["da"].dims[0] == "time" else 1.1))),
    ("dtype", altered(lambda out, o: out * (1.1 if o["da"].dtype == np.float32 else 1))),
    ("dtype", altered(lambda out, o: out * (1 if o["da"].dtype.isnative else 1.1))),
    ("time_unit", altered(lambda out, o: out * (1 if o["da"].time.dtype == "M8[ns]" else 1.1))),
    ("batch", altered(lambda out, o: out * (1 + 1e-6 * o["tiling"].batch))),
    ("chunk", altered(lambda out, _: out.compute())),
    ("chunk", altered(lambda out, _: out * (1.1 if out.chunks else 1))),
    ("crop", altered(framed)),
    ("gaps", altered(lambda out, _: out.fillna(0.1))),
    ("gaps", altered(lambda out, _: out.where(out.notnull().all()))),
    ("gaps", altered(lambda out, _: out * (1 if out.notnull().all() else 1.1))),
    ("empty_day", altered(lambda out, _: out.fillna(0.1))),
    ("empty_day", altered(lambda out, _: out.where(out.notnull().all()))),
    ("pickled", altered(lambda out, o: out * (1 if o["model"] is FIRST[0] else 1.1))),
    ("save_and_load", altered(lambda out, o: out * (1 if o["model"] is FIRST[0] else 1.1))),
    ("cf", altered(lambda out, _: out.assign_attrs(units="K"))),
    ("cf", altered(lambda out, _: out.assign_coords(lat=out.lat.assign_attrs(axis="Z")))),
]
FIRST: list[Downscaler] = []


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[n for n, _ in FAULTS])
def test_a_broken_promise_is_found(
    name: str, fault: Any, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    FIRST[:] = [tiny_model]
    monkeypatch.setattr(checks, "predict", fault(checks.predict))
    (found,) = check_model(tiny_model, only=[name], seed=5).checks
    assert found.status == "broken", found
    assert found.expected


@pytest.mark.parametrize("change", [{"coherence": "independent"}, None], ids=["ignored", "not in chains"])
def test_a_broken_chain_is_found(
    tiny_state: Downscaler, monkeypatch: pytest.MonkeyPatch, change: dict[str, str] | None
) -> None:
    fault = told(lambda _: change or {})
    if change is None:
        fault = altered(lambda out, _: out * (1.1 if out.chunks else 1))
    monkeypatch.setattr(checks, "predict", fault(checks.predict))
    (found,) = check_model(tiny_state, only=["continuation"]).checks
    assert found.status == "broken"


def test_a_card_that_json_changes(tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        checks.Card, "from_json", classmethod(lambda *_: replace(tiny_model.card, version="9"))
    )
    assert PROMISES["card"](Subject(tiny_model)).kept is False


def test_a_card_whose_own_values_are_foreign(tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "example", lambda model, **o: 50 * example(model, **o))
    (found,) = check_model(tiny_model, only=["domain"]).checks
    assert found.status == "error"
    assert found.found.startswith("DomainError: ")


def test_memory_over_the_bound(tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    small = checks._BLOCK.replace('"bound": bound', '"bound": bound // 100')
    monkeypatch.setattr(checks, "_BLOCK", small)
    assert PROMISES["memory"](Subject(tiny_model)).kept is False
    monkeypatch.setattr(checks, "_BLOCK", "raise MemoryError('all of it')")
    verdict = PROMISES["memory"](Subject(tiny_model))
    assert (verdict.kept, verdict.found) == (False, "MemoryError: all of it")


class TestResult:
    def test_others_are_made_when_one_raises(
        self, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no(*_: Any, **__: Any) -> None:
            raise RuntimeError("<no>")

        monkeypatch.setattr(checks, "predict", no)
        found = check_model(tiny_model, only=["card", "seed", "flip"])
        assert statuses(found) == {"card": "kept", "seed": "error", "flip": "error"}
        assert not found
        assert "tiny 1.2: 1 promises kept, 2 broken" in str(found)
        assert "&lt;no&gt;" in found._repr_html_()
        assert "<no>" not in found._repr_html_()

    def test_machines_can_read_it(self, tiny_model: Downscaler) -> None:
        found = check_model(tiny_model, only=["card", "continuation"])
        content = json.loads(found.to_json())
        assert (content["passed"], content["model"], content["sha256"]) == (True, "tiny 1.2", None)
        assert [c["status"] for c in content["checks"]] == ["kept", "not applicable"]
        assert content["checks"][0]["promise"] == "The card survives JSON."

    def test_unknown_checks(self, tiny_model: Downscaler) -> None:
        with pytest.raises(ValueError, match="no check is named 'beauty': expected some of"):
            check_model(tiny_model, only=["beauty"])

    def test_unknown_model(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'jja_asia'"):
            check_model("jja_asi")
