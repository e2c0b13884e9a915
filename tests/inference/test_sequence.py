"""Days in sequence: order, what is kept, and runs of the engine that know the day before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, coarsening, refined, upsampling
from xdownscale.inference.engine import Options, draw
from xdownscale.inference.sequence import Last, State, follows, in_order
from xdownscale.models.downscaler import Downscaler
from xdownscale.noise import DAY_US, instant, shaped
from xdownscale.patches import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xdownscale.models.card import Card

GRID = MERRA2.window((216, 5), (352, 5))
FINE = refined(GRID, G5NR)
FIRST = instant(np.datetime64("2005-07-02T12"))
OPTIONS = Options((0, 1), 4, "draw", Sampler("euler", 1), Tiling(), conserve=False)


class Told(nn.Module):
    """x0 = share * state: the flow's prediction at t = 1 is x_t - x0."""

    strides, multiple = (2, 4, 8), 8

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None
    ) -> Tensor:
        state, known = condition[:, -2:-1], condition[:, -1:]
        return x_t - torch.where(known > 0, self.share * state, 1.0)


def lognormal(days: int) -> np.ndarray:
    return np.exp(np.random.default_rng(1).normal(-2, 0.3, (days, *GRID.shape)))


def times(days: int) -> list[int]:
    return [FIRST + d * DAY_US for d in range(days)]


@pytest.fixture
def told(make_card: Callable[..., Card]) -> Callable[..., Downscaler]:
    def make(share: float, **changes: Any) -> Downscaler:
        denoiser = make_card().architecture["denoiser"] | {"context": [], "condition": 6}
        parts = {"encoder": None, "denoiser": denoiser, "climatology": None}
        card = make_card(architecture=parts, inflation={}, upsampling="linear", state=True, **changes)
        model = Downscaler.build(card)
        model.denoiser = Told(share)  # type: ignore[assignment]
        return model

    return make


def residuals(model: Downscaler, fields: np.ndarray) -> np.ndarray:
    """(T(x) - U T(A x)) / scale of fields on FINE."""
    a, u = coarsening(FINE, GRID), upsampling(GRID, FINE, "linear")
    t = model.scaling.forward
    return np.stack([(t(x) - u(t(a(x)))) / model.card.residual_scale for x in fields.astype(np.float64)])


class TestAutoregressive:
    RUN = replace(OPTIONS, coherence="autoregressive")

    def test_a_day_is_told_its_own_member_of_the_day_before(self, told: Callable[..., Downscaler]) -> None:
        """x0 = state: 0.9 of yesterday's residual and 0.1 of noise with a stream of its own."""
        model, y = told(1.0), lognormal(3)
        out = draw(model, y, GRID, times(3), self.RUN).values
        base = np.stack([upsampling(GRID, FINE, "linear")(model.scaling.forward(day)) for day in y])
        for j in range(2):
            drawn = (model.scaling.forward(out[j]) - base) / model.card.residual_scale
            np.testing.assert_allclose(drawn[0], 1.0, atol=1e-4)  # nothing before the first
            for d in (1, 2):
                e = shaped(
                    model.kernel,
                    (FINE.y.start, FINE.y.size),
                    (FINE.x.start, FINE.x.size),
                    seed=4,
                    member=j,
                    instant=times(3)[d],
                    stream=1 << 60,
                    period=5760,
                )
                expected = 0.9 * residuals(model, out[j, d - 1 : d])[0] + 0.1 * e
                np.testing.assert_allclose(drawn[d], expected, atol=2e-4)

    @pytest.mark.parametrize("conserve", [False, True])
    def test_goes_on_with_the_same_bits(self, tiny_state: Downscaler, conserve: bool) -> None:
        options, y = replace(self.RUN, conserve=conserve), lognormal(5)
        whole = draw(tiny_state, y, GRID, times(5), options).values
        first = draw(tiny_state, y[:3], GRID, times(3), options).values
        state = State(first[:, -1], times(3)[-1])
        rest = draw(tiny_state, y, GRID, times(5), options, days=[3, 4], state=state).values
        np.testing.assert_array_equal(first, whole[:, :3])
        np.testing.assert_array_equal(rest, whole[:, 3:])
        without = draw(tiny_state, y, GRID, times(5), options, days=[3, 4]).values
        assert not np.array_equal(rest[:, 0], without[:, 0]), "the state matters"

    def test_any_order_of_days(self, tiny_state: Downscaler) -> None:
        y, order = lognormal(3), [2, 0, 1]
        straight = draw(tiny_state, y, GRID, times(3), self.RUN).values
        mixed = draw(tiny_state, y[order], GRID, [times(3)[d] for d in order], self.RUN).values
        np.testing.assert_array_equal(mixed, straight[:, order])

    def test_begins_anew_after_a_gap_and_after_an_empty_day(self, tiny_state: Downscaler) -> None:
        model, y = tiny_state, lognormal(4)
        gap = [times(5)[d] for d in (0, 1, 3, 4)]
        run = draw(model, y, GRID, gap, self.RUN).values
        fresh = draw(model, y, GRID, gap, self.RUN, days=[2, 3]).values
        np.testing.assert_array_equal(run[:, 2:], fresh)
        y[1] = np.nan
        run = draw(model, y, GRID, times(4), self.RUN).values
        fresh = draw(model, y, GRID, times(4), self.RUN, days=[2, 3]).values
        np.testing.assert_array_equal(run[:, 2:], fresh)

    def test_members_one_by_one(self, tiny_state: Downscaler) -> None:
        y = lognormal(3)
        both = draw(tiny_state, y, GRID, times(3), self.RUN).values
        alone = draw(tiny_state, y, GRID, times(3), replace(self.RUN, members=(1,))).values
        np.testing.assert_array_equal(alone[0], both[1])

    def test_missing_cells_of_the_day_before_are_not_told(self, told: Callable[..., Downscaler]) -> None:
        model, y = told(1.0), lognormal(2)
        y[0, 2, 2] = np.nan
        out = draw(model, y, GRID, times(2), self.RUN).values[0]
        base = upsampling(GRID, FINE, "linear")(model.scaling.forward(y[1]))
        drawn = (model.scaling.forward(out[1]) - base) / model.card.residual_scale
        gap = np.isnan(out[0])
        assert 60 < gap.sum() < 120
        np.testing.assert_allclose(drawn[gap], 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("coherence", "mine", "other"),
    [
        ("correlated", "day_correlation", "state_correlation"),
        ("autoregressive", "state_correlation", "day_correlation"),
    ],
)
def test_noise_has_the_correlation_of_the_card(
    told: Callable[..., Downscaler], coherence: Any, mine: str, other: str
) -> None:
    """A network that passes its noise on: drawn days are as correlated as the noise, members are not."""
    model = told(0.0, **{mine: 0.6, other: 0.2})
    model.denoiser.forward = lambda x_t, *_: torch.zeros_like(x_t)  # type: ignore[method-assign]
    y = np.repeat(lognormal(1), 3, axis=0)
    out = draw(model, y, GRID, times(3), replace(OPTIONS, coherence=coherence)).values
    base = upsampling(GRID, FINE, "linear")(model.scaling.forward(y[0]))
    e = ((model.scaling.forward(out) - base) / model.card.residual_scale).reshape(6, -1)
    found = np.corrcoef(e)
    assert found[0, 1] == pytest.approx(0.6, abs=0.05)
    assert found[0, 2] == pytest.approx(0.36, abs=0.07)
    assert np.abs(found[:3, 3:]).max() < 0.1
    np.testing.assert_allclose(e.std(axis=1), 1.0, atol=0.05)


class TestCorrelated:
    def test_days_are_drawn_apart(self, tiny_model: Downscaler) -> None:
        model = tiny_model.with_card(replace(tiny_model.card, day_correlation=0.5))
        options, y = replace(OPTIONS, coherence="correlated"), lognormal(3)
        whole = draw(model, y, GRID, times(3), options).values
        last = draw(model, y, GRID, times(3), options, days=[2]).values
        np.testing.assert_array_equal(last[:, 0], whole[:, 2])
        plain = draw(model, y, GRID, times(3), OPTIONS).values
        assert not np.array_equal(whole, plain)


class TestLast:
    def test_keeps_nothing_unless_asked(self) -> None:
        last = Last(torch.from_numpy, "independent")
        last.keep(0, FIRST, np.ones((2, 2), dtype=np.float32))
        assert last.before(0, FIRST + DAY_US) is None

    def test_of_the_member_and_of_the_day_before_alone(self) -> None:
        values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
        last = Last(torch.from_numpy, "autoregressive", State(values, FIRST))
        found = last.before(1, FIRST + DAY_US)
        assert found is not None
        np.testing.assert_array_equal(found, values[1])
        assert last.before(1, FIRST) is None
        assert last.before(1, None) is None
        assert last.before(2, FIRST + DAY_US) is None


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [(0, DAY_US, True), (0, int(1.01 * DAY_US), True), (0, int(1.1 * DAY_US), False), (None, 0, False)],
)
def test_follows(then: int | None, now: int, expected: bool) -> None:
    assert follows(then, now) is expected


def test_order_is_that_of_the_instants_only_where_it_matters() -> None:
    instants = [30, None, 10]
    assert in_order([0, 2], instants, "independent") == [(0, 0), (1, 2)]
    assert in_order([0, 2], instants, "autoregressive") == [(1, 2), (0, 0)]
