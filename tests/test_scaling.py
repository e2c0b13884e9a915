"""Value transforms: invertible, the same in numpy and torch, bounded below."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdownscale.scaling import Identity, Log, Quantile, Sqrt, fitted, from_dict

SCALINGS = [Log(-2.0, 1.5, 1e-3), Log(0.3, 0.2, 0.5), Sqrt(0.4, 0.2), Identity(0.3, 2.0)]


@pytest.mark.parametrize("scaling", SCALINGS, ids=repr)
class TestAll:
    def test_round_trip(self, scaling: Any) -> None:
        x = np.concatenate([[0.0], np.geomspace(1e-6, 20, 200)])
        z = scaling.forward(x)
        np.testing.assert_allclose(scaling.inverse(z), x, rtol=1e-12, atol=1e-15)
        assert (np.diff(z) > 0).all()

    def test_numpy_and_torch_agree(self, scaling: Any) -> None:
        x = np.geomspace(1e-4, 8, 60).reshape(3, 20)
        ours = scaling.forward(torch.from_numpy(x))
        assert isinstance(ours, torch.Tensor)
        assert ours.dtype == torch.float64
        np.testing.assert_allclose(ours.numpy(), scaling.forward(x), rtol=1e-14)
        np.testing.assert_allclose(scaling.inverse(ours).numpy(), x, rtol=1e-12)

    def test_float32_stays_float32(self, scaling: Any) -> None:
        x = torch.linspace(0.01, 2, 50)
        assert scaling.forward(x).dtype == torch.float32
        np.testing.assert_allclose(scaling.inverse(scaling.forward(x)).numpy(), x.numpy(), rtol=1e-5)
        assert scaling.forward(x.numpy()).dtype == np.float32

    def test_nan_passes(self, scaling: Any) -> None:
        x = np.array([0.1, np.nan, 0.3])
        assert np.isnan(scaling.inverse(scaling.forward(x))).tolist() == [False, True, False]
        assert torch.isnan(scaling.forward(torch.from_numpy(x))).tolist() == [False, True, False]

    def test_dictionary(self, scaling: Any) -> None:
        content = scaling.to_dict()
        assert from_dict(content) == scaling
        assert content["name"] == type(scaling).__name__.lower()
        assert all(isinstance(v, float) for k, v in content.items() if k != "name")

    def test_differentiable(self, scaling: Any) -> None:
        x = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)
        scaling.inverse(scaling.forward(x)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 1.0, rtol=1e-12)


@given(st.floats(1e-4, 1.0), st.floats(-5, 5), st.floats(0.05, 5), st.floats(0, 50))
def test_log_for_any_parameters(floor: float, mean: float, std: float, x: float) -> None:
    scaling = Log(mean, std, floor)
    assert float(scaling.inverse(scaling.forward(np.float64(x)))) == pytest.approx(x, rel=1e-9, abs=1e-12)


def test_by_hand() -> None:
    assert float(Log(-2.0, 1.5, 1e-3).forward(np.exp(1.0) - 1e-3)) == pytest.approx(2.0, rel=1e-12)
    assert float(Sqrt(0.5, 0.25).forward(4.0)) == 6.0
    assert Identity(1.0, 2.0).forward(5.0) == 2.0


def test_inverses_give_nothing_negative() -> None:
    z = np.linspace(-30, 30, 61)
    for scaling in SCALINGS[:3]:
        assert (scaling.inverse(z) >= 0).all()
        assert (scaling.inverse(torch.from_numpy(z)) >= 0).all()
        assert float(scaling.inverse(np.float64(-30.0))) == 0.0
    assert Identity(0.0, 1.0).inverse(-3.0) == -3.0


@pytest.mark.parametrize("kind", [Log, Sqrt, Identity])
def test_fit_standardises(kind: Any) -> None:
    values = np.random.default_rng(0).lognormal(-2, 1, 10_000)
    values[::7] = np.nan
    values[3] = np.inf
    scaling = kind.fit(values)
    z = scaling.forward(values[np.isfinite(values)])
    assert z.mean() == pytest.approx(0.0, abs=1e-10)
    assert z.std() == pytest.approx(1.0, rel=1e-10)


def test_fit_by_hand() -> None:
    fitted = Log.fit([np.e - 0.1, np.e**3 - 0.1], floor=0.1)
    assert fitted.mean == pytest.approx(2.0, rel=1e-12)
    assert fitted.std == pytest.approx(1.0, rel=1e-12)
    assert fitted.floor == 0.1


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [0.3, 0.3, np.nan]])
@pytest.mark.parametrize("kind", [Log, Sqrt, Identity])
def test_nothing_to_fit(kind: Any, values: list[float]) -> None:
    with pytest.raises(ValueError, match="no two different finite numbers"):
        kind.fit(values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "power", "mean": 0.0, "std": 1.0}, "transform is 'power': expected one of"),
        ({"mean": 0.0, "std": 1.0}, "transform is None"),
        ({"name": "log", "mean": 0.0}, "transform 'log' with"),
        ({"name": "sqrt", "mean": 0.0, "std": 1.0, "floor": 1e-3}, "transform 'sqrt' with"),
        (
            {"name": "log", "mean": 0.0, "std": 0.0, "floor": 1e-3},
            "std 0.0: expected finite numbers, std > 0",
        ),
        ({"name": "log", "mean": 0.0, "std": -1.0, "floor": 1e-3}, "std -1.0"),
        ({"name": "identity", "mean": np.nan, "std": 1.0}, "mean nan"),
        (
            {"name": "log", "mean": 0.0, "std": 1.0, "floor": 0.0},
            "floor is 0.0: expected a finite number > 0",
        ),
        ({"name": "log", "mean": 0.0, "std": 1.0, "floor": np.inf}, "floor is inf"),
    ],
)
def test_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(content)


def test_torch_is_not_needed() -> None:
    code = "import sys, xdownscale.scaling as s; s.Log(0, 1).forward(1.0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestQuantile:
    VALUES = np.random.default_rng(0).lognormal(-2, 1, 50_000)

    def test_scores_are_normal(self) -> None:
        z = Quantile.fit(self.VALUES).forward(self.VALUES)
        assert z.mean() == pytest.approx(0.0, abs=0.01)
        assert z.std() == pytest.approx(1.0, abs=0.01)
        assert np.mean(np.abs(z) < 1) == pytest.approx(0.6827, abs=0.005)

    @pytest.mark.parametrize("library", ["numpy", "torch"])
    def test_round_trip_beyond_the_ends_too(self, library: str) -> None:
        x = np.array([0.0, 1e-3, 0.1, 0.3, 5.0, 40.0])
        scaling = Quantile.fit(self.VALUES)
        given = x if library == "numpy" else torch.from_numpy(x)
        np.testing.assert_allclose(scaling.inverse(scaling.forward(given)), x, rtol=1e-9, atol=1e-12)
        assert (np.diff(np.asarray(scaling.forward(given))) > 0).all()

    def test_numpy_and_torch_agree(self) -> None:
        x, scaling = self.VALUES[:100], Quantile.fit(self.VALUES)
        np.testing.assert_allclose(scaling.forward(torch.from_numpy(x)), scaling.forward(x), rtol=1e-12)

    def test_gaps_stay_gaps(self) -> None:
        scaling = Quantile.fit(self.VALUES)
        assert np.isnan(scaling.forward(np.array([np.nan, 0.1]))).tolist() == [True, False]
        assert torch.isnan(scaling.forward(torch.tensor([np.nan, 0.1]))).tolist() == [True, False]

    def test_many_equal_values_are_one_node(self) -> None:
        scaling = Quantile.fit(np.concatenate([np.zeros(5000), self.VALUES[:5000]]))
        assert (np.diff(scaling.source) > 0).all()
        assert scaling.source[0] == 0.0

    def test_through_json(self) -> None:
        scaling = Quantile.fit(self.VALUES, 2 * self.VALUES)
        assert from_dict(json.loads(json.dumps(scaling.to_dict()))) == scaling

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"source": (1.0, 1.0)}, "source: expected 2 rising values"),
            ({"target": (1.0, 2.0, 3.0)}, "target: expected 2 rising values"),
            ({"levels": (0.0, 0.5)}, "expected between 0 and 1"),
            ({"source": (1.0, np.inf)}, "expected 2 to 1001, finite"),
        ],
    )
    def test_refused(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Quantile(**({"levels": (0.2, 0.5), "source": (1.0, 2.0), "target": (1.0, 2.0)} | change))


@pytest.mark.parametrize("name", ["log", "sqrt", "identity", "quantile"])
def test_fitted_by_name(name: str) -> None:
    values = np.random.default_rng(0).lognormal(-2, 1, 10_000)
    scaling = fitted(name, np.append(values, np.nan))
    assert scaling.to_dict()["name"] == name
    assert np.std(scaling.forward(values)) == pytest.approx(1.0, abs=0.02)
    with pytest.raises(ValueError, match="transform is 'cube': expected one of"):
        fitted("cube", values)


@pytest.mark.parametrize(("name", "least"), [("log", "-0.001"), ("sqrt", "0")])
def test_values_below_a_transform(name: str, least: str) -> None:
    with pytest.raises(ValueError, match=rf"the smallest value is -0\.5: {name} takes values above {least};"):
        fitted(name, [-0.5, 0.1, 0.2])
