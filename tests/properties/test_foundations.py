"""Laws that hold for any grid, window, tiling and field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdownscale.grid import (
    G5NR,
    MERRA2,
    Axis,
    Grid,
    coarsening,
    conservative_matrix,
    covered,
    interpolation_matrix,
    refined,
    upsampling,
)
from xdownscale.inference.conserve import conserve
from xdownscale.noise import Spectrum, shaped, white
from xdownscale.patches import Tiling, layout

METHODS = ["nearest", "linear", "cubic", "conservative"]


@st.composite
def coarse_windows(draw: st.DrawFn) -> Grid:
    """A window of MERRA-2: at the poles, across the dateline, all round."""
    ny = draw(st.integers(1, 12))
    y = draw(st.sampled_from([0, 361 - ny, draw(st.integers(0, 361 - ny))])), ny
    x = draw(st.one_of(st.just((0, 576)), st.tuples(st.integers(-600, 1200), st.integers(1, 12))))
    return MERRA2.window(y, x)


@st.composite
def axis_pairs(draw: st.DrawFn) -> tuple[Axis, Axis]:
    """A coarse and a fine axis of one kind with any steps and any offset."""
    kind = draw(st.sampled_from(["latitude", "plane"]))
    fine_step = draw(st.floats(0.05, 0.5))
    ratio = draw(st.floats(1.0, 9.0))
    fine = Axis(
        draw(st.floats(-1, 1)), fine_step, draw(st.integers(-50, 50)), draw(st.integers(30, 120)), kind
    )
    coarse = Axis(draw(st.floats(-1, 1)), fine_step * ratio, 0, 1, kind)
    return coarse, fine


@settings(deadline=None, max_examples=80)
@given(coarse_windows())
def test_covered_undoes_refined(coarse: Grid) -> None:
    fine = refined(coarse, G5NR)
    assert covered(fine, MERRA2) == coarse
    assert fine.y.size == 8 * coarse.y.size + 1 - 4 * sum(abs(v) == 90 for v in coarse.y.values)
    assert fine.x.size == (5760 if coarse.x.cyclic else 10 * coarse.x.size + 1)


@settings(deadline=None, max_examples=80)
@given(axis_pairs())
def test_covered_cells_are_wholly_covered(pair: tuple[Axis, Axis]) -> None:
    """On grids that share nothing: every coarse cell that is returned is covered, its neighbours are not."""
    coarse, fine = pair
    one = Grid(fine, fine), Grid(coarse, coarse)
    inside = covered(*one).y
    np.testing.assert_allclose(conservative_matrix(fine, inside).sum(axis=1), 1.0, atol=1e-6)
    wider = inside.window(inside.start - 1, inside.size + 2)
    if wider.measure.min() > 0:
        sums = conservative_matrix(fine, wider).sum(axis=1)
        assert max(sums[0], sums[-1]) < 1 - 1e-8
    around = refined(Grid(inside, inside), one[0]).y
    assert fine.start <= around.start
    assert around.start + around.size <= fine.start + fine.size


@settings(deadline=None, max_examples=60)
@given(coarse_windows(), st.sampled_from([-2, -1, 0, 1, 2]))
def test_locate_finds_any_window(coarse: Grid, turns: int) -> None:
    y, x = MERRA2.y.locate(coarse.y.values), MERRA2.x.locate(coarse.x.values + 360 * turns)
    assert y == coarse.y
    assert x == coarse.x.window(coarse.x.start % 576, coarse.x.size)


@settings(deadline=None, max_examples=30)
@given(coarse_windows(), st.integers(0, 2**32 - 1))
def test_integrals_are_kept(coarse: Grid, seed: int) -> None:
    """Where the fine cells make up the coarse ones, half cells at the rim counted by halves."""
    fine = refined(coarse, G5NR)
    if fine.shape[1] == 5760:
        fine, coarse = (
            fine.window((fine.y.start, fine.y.size), (0, 81)),
            coarse.window((coarse.y.start, coarse.y.size), (1, 7)),
        )
    a = coarsening(fine, coarse)
    field = np.random.default_rng(seed).lognormal(size=fine.shape)
    inside = np.outer(
        np.asarray(coarse.y.measure @ a.y.toarray()), np.asarray(coarse.x.measure @ a.x.toarray())
    )
    assert (a(field) * coarse.area).sum() == pytest.approx((field * inside).sum(), rel=1e-12)
    # the share of a fine cell that lies in the window is its area, or half, or a quarter of it
    assert inside.sum() == pytest.approx(coarse.area.sum(), rel=1e-10)
    assert (inside <= fine.area * (1 + 1e-9)).all()


@settings(deadline=None, max_examples=30)
@given(coarse_windows(), st.sampled_from(METHODS), st.floats(-1e3, 1e3))
def test_constants_are_kept(coarse: Grid, method: str, value: float) -> None:
    fine = refined(coarse, G5NR)
    for source, target in ((coarse.y, fine.y), (coarse.x, fine.x)):
        up = interpolation_matrix(source, target, method) @ np.full(source.size, value)  # type: ignore[arg-type]
        np.testing.assert_allclose(up, value, rtol=1e-12, atol=1e-12)
        down = conservative_matrix(target, source) @ np.full(target.size, value)
        np.testing.assert_allclose(down, value, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(coarse_windows(), st.sampled_from(["nearest", "linear", "conservative"]), st.integers(0, 1000))
def test_monotone_methods_stay_within_the_values(coarse: Grid, method: str, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=coarse.y.size)
    up = interpolation_matrix(coarse.y, refined(coarse, G5NR).y, method) @ values  # type: ignore[arg-type]
    assert values.min() - 1e-12 <= up.min()
    assert up.max() <= values.max() + 1e-12


@settings(deadline=None, max_examples=30)
@given(coarse_windows(), st.sampled_from(METHODS), st.integers(0, 40), st.integers(1, 30))
def test_a_crop_of_the_upsampling_is_the_upsampling_of_a_crop(
    coarse: Grid, method: str, start: int, size: int
) -> None:
    """Rows of the matrix do not know the window they are in."""
    fine = refined(coarse, G5NR).y
    start = min(start, fine.size - 1)
    size = min(size, fine.size - start)
    whole = interpolation_matrix(coarse.y, fine, method).toarray()  # type: ignore[arg-type]
    part = interpolation_matrix(coarse.y, fine.window(fine.start + start, size), method).toarray()  # type: ignore[arg-type]
    assert (whole[start : start + size] == part).all()


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 355),
    st.integers(0, 575),
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0.01, 0.5),
    st.integers(0, 999),
)
def test_conservation_anywhere(y: int, x: int, ny: int, nx: int, error: float, seed: int) -> None:
    grid = MERRA2.window((y, ny), (x, nx))
    fine = refined(grid, G5NR)
    a, u = coarsening(fine, grid), upsampling(grid, fine, "linear")
    rng = np.random.default_rng(seed)
    field = rng.lognormal(sigma=0.5, size=fine.shape)
    coarse = a(field) * np.exp(error * rng.normal(size=grid.shape))
    result = conserve(field, coarse, a, u)
    np.testing.assert_allclose(a(result.field), coarse, rtol=1.1e-6)
    assert (result.field > 0).all()


@settings(deadline=None, max_examples=15)
@given(st.integers(-500, 3000), st.integers(0, 5759), st.integers(1, 150), st.integers(1, 150))
def test_patches_carry_the_fields_own_noise(y: int, x: int, ny: int, nx: int) -> None:
    """Noise cut patch by patch is the noise of the domain: bits for white, 1e-6 for shaped."""
    key = {"seed": 1, "member": 2, "instant": 3, "period": 5760}
    kernel = Spectrum((4.0, 2.0, 1.0, 0.5), 1e-3, 5).kernel()
    plan = layout((y, ny, None), (x, nx, None), Tiling(patch=64, halo=8, ramp=8))
    spans = (plan.y.start, plan.y.size), (plan.x.start, plan.x.size)
    whole, smooth = white(*spans, **key), shaped(kernel, *spans, **key)
    for k in list(plan)[:: max(1, len(plan) // 4)]:
        window = plan.y.span(k[0]), plan.x.span(k[1])
        assert (plan.extract(whole, k) == white(*window, **key)).all()
        np.testing.assert_allclose(plan.extract(smooth, k), shaped(kernel, *window, **key), atol=1e-6)
