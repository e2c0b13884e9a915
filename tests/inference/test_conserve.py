"""Conservation: the coarse mean is the input's, nothing is negative, no seam shows."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.grid import G5NR, MERRA2, Grid, Separable, coarsening, refined, upsampling
from xdownscale.inference.conserve import conserve
from xdownscale.noise import Spectrum, shaped

KERNEL = Spectrum(
    tuple(1.0 / (1.0 + (20.0 * k) ** 2) ** 1.5 for k in np.linspace(0, 0.5, 33)), 1e-3, 24
).kernel()


def problem(
    y: tuple[int, int] = (200, 10), x: tuple[int, int] = (571, 12), *, error: float = 0.2
) -> tuple[np.ndarray, np.ndarray, Separable, Separable, Grid]:
    """A lognormal fine field and a coarse one that its mean misses by a random factor."""
    grid = MERRA2.window(y, x)
    fine = refined(grid, G5NR)
    a, u = coarsening(fine, grid), upsampling(grid, fine, "linear")
    noise = shaped(KERNEL, (0, fine.shape[0]), (0, fine.shape[1]), seed=0, member=0, instant=0)
    field = np.exp(0.8 * noise.astype(np.float64) - 1)
    coarse = a(field) * np.exp(error * np.random.default_rng(1).normal(size=grid.shape))
    return field, coarse, a, u, grid


class TestConserve:
    @pytest.mark.parametrize(
        "window",
        [
            ((200, 10), (571, 12)),
            ((0, 6), (100, 8)),
            ((355, 6), (100, 8)),
            ((200, 1), (300, 1)),
            ((200, 2), (300, 9)),
        ],
    )
    def test_coarse_mean(self, window: tuple[tuple[int, int], tuple[int, int]]) -> None:
        field, coarse, a, u, _ = problem(*window)
        result = conserve(field, coarse, a, u)
        np.testing.assert_allclose(a(result.field), coarse, rtol=1e-6)
        assert result.after <= 1e-6
        assert result.before == pytest.approx(np.abs(a(field) / coarse - 1).max(), rel=1e-12)
        assert (result.field > 0).all()

    def test_passes(self) -> None:
        """Measured: 40 for errors of 20 percent, uncorrelated between coarse cells."""
        field, coarse, a, u, _ = problem()
        assert 5 < conserve(field, coarse, a, u).passes < 100

    def test_what_conserves_is_left_alone(self) -> None:
        field, _, a, u, _ = problem()
        result = conserve(field, a(field), a, u)
        assert result.passes == 0
        assert (result.field == field).all()

    def test_a_constant_factor_takes_one_pass(self) -> None:
        field, _, a, u, _ = problem()
        result = conserve(field, 1.7 * a(field), a, u)
        assert result.passes == 1
        np.testing.assert_allclose(result.field, 1.7 * field, rtol=1e-9)

    def test_the_factor_is_clipped_but_reached(self) -> None:
        field, _, a, u, _ = problem()
        result = conserve(field, 50 * a(field), a, u)
        assert result.before == pytest.approx(1 - 1 / 50, rel=1e-9)
        np.testing.assert_allclose(a(result.field), 50 * a(field), rtol=1e-6)

    def test_no_seams(self) -> None:
        """The factor's jumps at coarse cell edges are no larger than elsewhere."""
        field, coarse, a, u, grid = problem()
        factor = np.log(conserve(field, coarse, a, u).field / field)
        # fine cells k 8 + 0..1 straddle a coarse edge: edges fall on the fine centres 0, 8, 16, ...
        jumps = np.abs(np.diff(factor, axis=0))
        at_edge = np.zeros(jumps.shape[0], dtype=bool)
        at_edge[0::8] = at_edge[7::8] = True
        inner = slice(8, -8)
        edge, elsewhere = jumps[inner][at_edge[inner]], jumps[inner][~at_edge[inner]]
        assert edge.max() < 1.05 * elsewhere.max()
        assert edge.mean() < 1.05 * elsewhere.mean()
        # a factor constant in each coarse cell would jump by the whole error there
        blocks = np.log(upsampling(grid, refined(grid, G5NR), "nearest")(coarse / a(field)))
        assert np.abs(np.diff(blocks, axis=0)).max() > 2 * jumps.max()

    def test_missing_cells_do_not_enter(self) -> None:
        field, coarse, a, u, _ = problem()
        coarse[3:5, 4:7] = np.nan
        result = conserve(field, coarse, a, u)
        known = np.isfinite(coarse)
        np.testing.assert_allclose(a(result.field)[known], coarse[known], rtol=1e-6)
        assert np.isfinite(result.field).all()
        # in the middle of a gap no known neighbour moves the field
        clear = conserve(field, np.full_like(coarse, np.nan), a, u)
        assert (clear.field == field).all()
        assert (clear.before, clear.after, clear.passes) == (0.0, 0.0, 0)

    def test_middle_of_a_gap_keeps_its_values(self) -> None:
        field, coarse, a, u, _ = problem()
        coarse[2:8, 3:9] = np.nan
        ratio = conserve(field, coarse, a, u).field / field
        # coarse cells 3 to 6 and 4 to 7, whole
        np.testing.assert_array_equal(ratio[29:52, 46:75], 1.0)

    def test_zeros(self) -> None:
        field, coarse, a, u, _ = problem()
        coarse[4, 5] = 0.0
        result = conserve(field, coarse, a, u, passes=400)
        assert (result.field >= 0).all()
        assert np.isfinite(result.field).all()
        others = np.ones(coarse.shape, dtype=bool)
        others[4, 5] = False
        np.testing.assert_allclose(a(result.field)[others], coarse[others], rtol=1e-3)
        assert a(result.field)[4, 5] < 1e-6

    def test_a_field_of_zeros_is_filled_from_the_coarse_one(self) -> None:
        """Nothing to multiply: the interpolated coarse field is what there is to say."""
        field, coarse, a, u, _ = problem()
        result = conserve(0 * field, coarse, a, u)
        assert result.before == 1.0
        np.testing.assert_allclose(a(result.field), coarse, rtol=1e-6)

    def test_no_pass_only_measures(self) -> None:
        field, coarse, a, u, _ = problem()
        result = conserve(field, coarse, a, u, passes=0)
        assert (result.field == field).all()
        assert result.before == result.after == pytest.approx(np.abs(a(field) / coarse - 1).max())
        assert conserve(field, coarse, a, u, passes=2).after < result.before / 2

    def test_spectrum_is_kept(self) -> None:
        """Small scales are multiplied by something smooth: their variance of the logarithm stays."""
        field, coarse, a, u, _ = problem(error=0.1)
        out = conserve(field, coarse, a, u).field
        rough = [np.diff(np.log(f), axis=1).var() for f in (field, out)]
        assert rough[1] == pytest.approx(rough[0], rel=0.05)

    @pytest.mark.parametrize("rest", [0.0, 0.5])
    def test_coarse_cells_that_came_out_empty(self, rest: float) -> None:
        """Exact zeros over whole coarse cells that are not zero: clean air under a logarithm's floor."""
        field, coarse, a, u, _ = problem(error=0.0)
        field[39:60, 39:72] = 0.0
        field[60:] *= rest
        result = conserve(field, coarse, a, u)
        assert result.field.max() < 1e3
        np.testing.assert_allclose(a(result.field), coarse, rtol=1e-5)
