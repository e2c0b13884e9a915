"""Example fields: on the model's cells, in its region, month, cadence, range and quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale import resolve
from xdownscale.models import Downscaler
from xdownscale.testing.example import example, home, room

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.models import Card


def test_of_a_bundled_model() -> None:
    model = resolve("djf_asia")
    da = example(model, days=40, shape=(20, 30))
    assert da.dims == ("time", "lat", "lon")
    assert da.shape == (40, 20, 30)
    assert set(da.time.dt.month.values) <= {1, 2}
    assert np.unique(np.diff(da.time)) == np.timedelta64(1, "D")
    q = np.quantile(da.values, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(q, np.array(model.card.source_quantiles)[[25, 50, 75]], rtol=0.15)
    model.coarse.y.locate(da.lat.values)
    model.coarse.x.locate(da.lon.values)


def test_across_the_dateline(make_card: Callable[..., Card]) -> None:
    model = Downscaler.build(make_card(region={"lat": [-10.0, 10.0], "lon": [170.0, 200.0]}, cadence="6h"))
    grid = home(model, (400, 400))
    assert room(model) == grid.shape == (41, 49)
    assert (grid.x.values.min(), grid.x.values.max()) == (170.0, 200.0)
    da = example(model, days=2, shape=(4, 60))
    assert da.shape == (2, 4, 49)
    assert da.time.values[1] - da.time.values[0] == np.timedelta64(6, "h")


@pytest.mark.parametrize("quantiles", [(), tuple(np.linspace(0.0, 2.0, 101))])
def test_values(make_card: Callable[..., Card], quantiles: Any) -> None:
    model = Downscaler.build(make_card(source_quantiles=quantiles))
    values = example(model, seed=3).values
    assert np.isfinite(values).all()
    assert 0 <= values.min() < values.max() <= 6
    assert not np.array_equal(values, example(model, seed=4).values)
    np.testing.assert_array_equal(values, example(model, seed=3).values)


def test_a_region_beside_the_grid(make_card: Callable[..., Card]) -> None:
    coarse = make_card().coarse
    coarse = coarse | {"y": coarse["y"] | {"start": 0, "size": 20}}
    model = Downscaler.build(make_card(coarse=coarse))
    with pytest.raises(ValueError, match=r"region \[10.0, 56.0\] holds no cell"):
        example(model)
