"""What a model is for: refusals, warnings, findings, and the distance in closed form."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf import understand
from xdownscale.grid import MERRA2
from xdownscale.inference.domain import (
    FARTHEST,
    DomainError,
    check_labels,
    check_values,
    judge,
    judge_day,
)
from xdownscale.models.downscaler import Downscaler

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.cf import Field
    from xdownscale.models.card import Card

NAME = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"
WINDOW = MERRA2.window((250, 6), (360, 8))  # 35-37.5 N, 45-49.4 E


def field(
    values: np.ndarray | float = 0.2, first: str = "2005-07-01", step_h: float = 24.0, **attrs: str
) -> Field:
    """Three days over Iran, well labelled unless told otherwise."""
    time = np.datetime64(first, "ns") + np.arange(3) * np.timedelta64(int(step_h * 60), "m")
    data = np.broadcast_to(values, (3, *WINDOW.shape)).astype(np.float64)
    labels = {"units": "1", "standard_name": NAME} | attrs
    da = xr.DataArray(
        data,
        {"time": time, "lat": WINDOW.y.values, "lon": WINDOW.x.values},
        ("time", "lat", "lon"),
        "DUEXTTAU",
        {k: v for k, v in labels.items() if v},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return understand(da, MERRA2)


@pytest.fixture
def card(make_card: Callable[..., Card]) -> Card:
    return make_card(standard_name=NAME, value_range=(0.0, 5.0))


class TestLabels:
    def test_right_ones_pass(self, card: Card) -> None:
        check_labels(field(), card)

    def test_another_quantity(self, card: Card) -> None:
        other = NAME.replace("dust", "sulfate")
        with pytest.raises(ValueError, match=f"standard_name {other}.* is for {card.variable}"):
            check_labels(field(standard_name=other), card)

    def test_another_unit(self, card: Card) -> None:
        with pytest.raises(ValueError, match=r"units are 'kg m-2': expected '1'; convert"):
            check_labels(field(units="kg m-2"), card)

    @pytest.mark.parametrize("units", ["dimensionless", "unitless"])
    def test_words_for_one(self, card: Card, units: str) -> None:
        check_labels(field(units=units), card)

    def test_no_units(self, card: Card) -> None:
        with pytest.warns(UserWarning, match="has no units: taken for '1'"):
            check_labels(field(units=""), card)

    @pytest.mark.parametrize(("value", "units"), [(870.0, "nm"), (0.87, "um")])
    def test_another_wavelength(self, make_card: Callable[..., Card], value: float, units: str) -> None:
        card = make_card(standard_name=NAME, wavelength_nm=550.0)
        found = field()
        wave = xr.DataArray(value, attrs={"units": units})
        told = understand(found.source.assign_coords(radiation_wavelength=wave), MERRA2)
        with pytest.raises(ValueError, match=r"the wavelength is 870 nm: the model is for 550 nm"):
            check_labels(told, card)

    @pytest.mark.parametrize("value", ["blue", None, np.nan, 1j, np.datetime64("NaT", "ns"), True])
    def test_a_wavelength_that_is_none(self, make_card: Callable[..., Card], value: object) -> None:
        told = field().source.assign_coords(radiation_wavelength=((), np.asarray(value)))
        with pytest.raises(ValueError, match=r"radiation_wavelength is .*: expected a number, or drop it"):
            check_labels(understand(told, MERRA2), make_card(standard_name=NAME, wavelength_nm=550.0))

    @pytest.mark.parametrize(
        ("hours", "message"), [(3.0, "times are 3 hours apart"), (31 * 24.0, "at least 31 days apart")]
    )
    def test_another_sampling(self, card: Card, hours: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            check_labels(field(step_h=hours), card)


class TestValues:
    def test_good_ones_are_not_copied(self, card: Card) -> None:
        values = np.array([[[0.0, 0.3, np.nan]]])
        assert check_values(values, card) is values

    def test_tiny_negatives_are_clipped_in_a_copy(self, card: Card) -> None:
        values = np.array([[[-1e-5, 0.3]]])
        with pytest.warns(UserWarning, match=r"1 values down to -1e-05 are below zero"):
            clipped = check_values(values, card)
        assert clipped.tolist() == [[[0.0, 0.3]]]
        assert values[0, 0, 0] == -1e-5

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (1e15, "1 values are 1e\\+15, a fill value"),
            (-9999.0, "1 values are -9999, a fill value"),
            (np.inf, "1 values are infinite"),
            (-0.5, "the smallest value is -0.5"),
            (900.0, "the largest value is 900, the model knows 0 to 5: is it in percent"),
        ],
    )
    def test_no_optical_depths(self, card: Card, bad: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            check_values(np.array([[[0.1, bad]]]), card)

    def test_more_than_the_model_has_seen(self, card: Card) -> None:
        with pytest.warns(UserWarning, match=r"values reach 7: the model was trained on 0 to 5"):
            check_values(np.array([[[0.1, 7.0]]]), card)

    def test_nothing_but_gaps(self, card: Card) -> None:
        values = np.full((1, 2, 2), np.nan)
        assert check_values(values, card) is values


class TestJudge:
    def model(self, make_card: Callable[..., Card], spread: float = 1.0) -> Downscaler:
        """A source whose logarithms are uniform: z from -2 to -2 + spread."""
        card = make_card(standard_name=NAME)
        plain = Downscaler.build(card)
        z = np.linspace(-2.0, -2.0 + spread, 101)
        return Downscaler.build(
            make_card(standard_name=NAME, source_quantiles=tuple(np.asarray(plain.scaling.inverse(z))))
        )

    @pytest.mark.parametrize("shift", [0.0, 0.4, 1.0])
    def test_distance_of_a_shifted_sample(self, make_card: Callable[..., Card], shift: float) -> None:
        """A sample shifted by s is s from its source: over a uniform spread of one, sqrt(12) s deviations."""
        model = self.model(make_card)
        z = np.linspace(-2.0, -1.0, 101) + shift
        values = np.asarray(model.scaling.inverse(z))[None, None]
        found = judge(field(), values, model, "ignore")
        deviation = np.std(np.linspace(-2.0, -1.0, 101))
        assert found.distance == pytest.approx(shift / deviation, rel=1e-6, abs=1e-9)
        assert bool(found.messages) == (shift / deviation > FARTHEST)

    def test_modes(self, make_card: Callable[..., Card]) -> None:
        model = self.model(make_card)
        winter, values = (
            field(first="2005-01-03"),
            np.asarray(model.scaling.inverse(np.full((1, 2, 2), -1.5))),
        )
        with pytest.raises(
            DomainError, match=r"months \[1\] are not the model's \[6, 7, 8\]; use domain_check"
        ):
            judge(winter, values, model, "raise")
        with pytest.warns(UserWarning, match=r"months \[1\]"):
            judge(winter, values, model, "warn")
        assert judge(winter, values, model, "ignore").messages == (
            "months [1] are not the model's [6, 7, 8]",
        )

    def test_values_that_are_not_read(self, make_card: Callable[..., Card]) -> None:
        model = self.model(make_card)
        found = judge(field(first="2005-01-03"), None, model, "ignore")
        assert found.distance is None
        assert found.messages == ("months [1] are not the model's [6, 7, 8]",)

    def test_a_day(self, make_card: Callable[..., Card]) -> None:
        """Shifted by s it is sqrt(12) s deviations away; only beyond the farthest is something said."""
        model = self.model(make_card)
        z = np.linspace(-2.0, -1.0, 101)
        near, far = (np.asarray(model.scaling.inverse(z + s))[None] for s in (0.6, 0.8))
        assert 0.6 / np.std(z) < FARTHEST < 0.8 / np.std(z)
        judge_day(near, 0, model, "raise")
        with pytest.raises(DomainError, match=r"values of 1970-01-02T00:00:00 differ .* by 2\.74 standard"):
            judge_day(far, 86_400_000_000, model, "raise")
        with pytest.warns(UserWarning, match=r"^values differ .* by 2\.74 standard"):
            judge_day(far, None, model, "warn")
        judge_day(far, 0, model, "ignore")
        judge_day(np.full((2, 2), np.nan), 0, model, "raise")

    def test_another_region(self, make_card: Callable[..., Card]) -> None:
        model = Downscaler.build(
            make_card(standard_name=NAME, region={"lat": [-30.0, 0.0], "lon": [34.0, 135.0]})
        )
        found = judge(field(), np.full((1, 2, 2), 0.2), model, "ignore")
        assert "the input lies on 35 to 37.5 N, 45 to 49.375 E" in found.messages[0]

    def test_region_over_the_dateline(self, make_card: Callable[..., Card]) -> None:
        """45 E lies within -350 to -300 E."""
        model = Downscaler.build(
            make_card(standard_name=NAME, region={"lat": [10, 56], "lon": [-350.0, -300.0]})
        )
        assert not any(
            "lies on" in m for m in judge(field(), np.full((1, 2, 2), 0.2), model, "ignore").messages
        )

    def test_gaps_do_not_count(self, make_card: Callable[..., Card]) -> None:
        model = self.model(make_card)
        z = np.asarray(model.scaling.inverse(np.linspace(-2.0, -1.0, 101)))
        holed = np.concatenate([z, np.full(50, np.nan)])[None, None]
        assert judge(field(), holed, model, "ignore").distance == pytest.approx(0.0, abs=1e-9)
        nothing = judge(field(), np.full((1, 2, 2), np.nan), model, "ignore")
        assert nothing.distance is None
