"""The exact operators between grids."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.grid import (
    G5NR,
    MERRA2,
    Axis,
    Grid,
    Separable,
    coarsening,
    conservative_matrix,
    interpolation_matrix,
    refined,
    upsampling,
)


def brute_overlap(source: Axis, target: Axis) -> np.ndarray:
    """Shares by the definition, cell by cell and turn by turn."""

    def bounds(axis: Axis, i: int, turn: float) -> tuple[float, float]:
        low, high = (axis.origin + axis.step * (axis.start + i + d) + turn for d in (-0.5, 0.5))
        if axis.kind == "latitude":
            return tuple(float(np.sin(np.pi / 180 * min(max(v, -90.0), 90.0))) for v in (low, high))
        return low, high

    out = np.zeros((target.size, source.size))
    turns = [0.0] if source.period is None else [360.0 * k for k in (-2, -1, 0, 1, 2)]
    for i in range(target.size):
        t = bounds(target, i, 0.0)
        for j in range(source.size):
            cells = (bounds(source, j, turn) for turn in turns)
            covered = sum(max(0.0, min(t[1], s[1]) - max(t[0], s[0])) for s in cells)
            out[i, j] = covered / (t[1] - t[0])
    return out


class TestConservative:
    def test_half_cells_at_the_edges(self) -> None:
        rows = conservative_matrix(G5NR.y, MERRA2.y).toarray()
        inner = rows[180][rows[180] > 0]
        assert (rows[180] > 0).sum() == 9
        # near the equator areas hardly vary within a cell: 1/2, 7 whole, 1/2
        np.testing.assert_allclose(inner * 8, [0.5, *[1.0] * 7, 0.5], rtol=1e-5)
        columns = conservative_matrix(G5NR.x, MERRA2.x).toarray()
        np.testing.assert_allclose(columns[5][columns[5] > 0] * 10, [0.5, *[1.0] * 9, 0.5], rtol=1e-12)

    @pytest.mark.parametrize("seed", range(12))
    def test_against_brute_force(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        kind = ("latitude", "longitude", "plane")[seed % 3]
        period = (24, 36) if kind == "longitude" and seed % 2 else (None, None)
        steps = (15.0, 10.0) if period[0] else tuple(rng.uniform(0.5, 3.0, 2))
        source, target = (
            Axis(float(rng.uniform(-3, 3)), step, int(rng.integers(-9, 3)), int(rng.integers(5, 20)), kind, n)  # type: ignore[arg-type]
            for step, n in zip(steps, period, strict=True)
        )
        matrix = conservative_matrix(source, target)
        assert matrix.shape == (target.size, source.size)
        np.testing.assert_allclose(matrix.toarray(), brute_overlap(source, target), atol=2e-9)

    def test_cyclic_source_covers_any_window(self) -> None:
        target = MERRA2.x.window(560, 40)
        sums = conservative_matrix(G5NR.x, target).sum(axis=1)
        np.testing.assert_allclose(sums, 1.0, atol=1e-12)
        straddling = conservative_matrix(G5NR.x, MERRA2.x.window(0, 1)).toarray()[0]
        assert sorted(np.flatnonzero(straddling).tolist()) == [0, 1, 2, 3, 4, 5, 5755, 5756, 5757, 5758, 5759]

    def test_integral_is_kept_over_the_globe(self) -> None:
        # strided fields: the whole of G5NR is not needed to see the integral
        rng = np.random.default_rng(0)
        field = rng.lognormal(size=(2881, 64))
        row = conservative_matrix(G5NR.y, MERRA2.y)
        fine, coarse = G5NR.y.measure, MERRA2.y.measure
        np.testing.assert_allclose(coarse @ (row @ field), fine @ field, rtol=1e-12)
        column = conservative_matrix(G5NR.x, MERRA2.x)
        values = rng.lognormal(size=5760)
        assert MERRA2.x.measure @ (column @ values) == pytest.approx(G5NR.x.measure @ values, rel=1e-12)

    def test_global_area_integral(self) -> None:
        fine = Grid(Axis(-90.0, 1.0, 0, 181, "latitude"), Axis(-180.0, 1.0, 0, 360, "longitude", 360))
        coarse = Grid(Axis(-90.0, 4.0, 0, 46, "latitude"), Axis(-180.0, 5.0, 0, 72, "longitude", 72))
        field = np.random.default_rng(1).lognormal(size=fine.shape)
        mean = coarsening(fine, coarse)(field)
        assert (mean * coarse.area).sum() == pytest.approx((field * fine.area).sum(), rel=1e-12)

    def test_rows_beyond_the_source_are_empty(self) -> None:
        matrix = conservative_matrix(Axis(0.0, 1.0, 0, 4), Axis(0.0, 2.0, -1, 5))
        np.testing.assert_allclose(matrix.sum(axis=1), [0.0, 0.75, 1.0, 0.25, 0.0])


class TestInterpolation:
    @pytest.mark.parametrize("method", ["nearest", "linear", "cubic", "conservative"])
    def test_rows_sum_to_one(self, method: str, coarse: Grid) -> None:
        fine = refined(coarse, G5NR)
        wide = G5NR.window((fine.y.start - 9, fine.y.size + 20), (fine.x.start - 9, fine.x.size + 20))
        for target in (fine, wide):
            for source_axis, axis in ((coarse.y, target.y), (coarse.x, target.x)):
                sums = interpolation_matrix(source_axis, axis, method).sum(axis=1)  # type: ignore[arg-type]
                np.testing.assert_allclose(sums, 1.0, atol=1e-12)

    @pytest.mark.parametrize(("method", "degree"), [("nearest", 0), ("linear", 1), ("cubic", 2)])
    def test_polynomials_are_reproduced(self, method: str, degree: int) -> None:
        coarse, fine = Axis(0.0, 2.0, 0, 12), Axis(6.0, 0.25, 0, 33)
        matrix = interpolation_matrix(coarse, fine, method)  # type: ignore[arg-type]
        for power in range(degree + 1):
            np.testing.assert_allclose(matrix @ coarse.values**power, fine.values**power, rtol=1e-12)

    def test_cubic_is_keys(self) -> None:
        row = interpolation_matrix(Axis(0.0, 1.0, 0, 4), Axis(1.25, 1.0, 0, 1), "cubic").toarray()[0]
        # a = -1/2 at distances 1.25, 0.25, 0.75, 1.75
        a, d = -0.5, np.array([1.25, 0.25, 0.75, 1.75])
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        np.testing.assert_allclose(row, np.where(d <= 1, near, far), atol=1e-15)

    def test_outer_values_are_kept(self) -> None:
        coarse, fine = Axis(0.0, 2.0, 0, 3), Axis(-3.0, 1.0, 0, 11)
        values = np.array([1.0, 5.0, 2.0])
        for method in ("nearest", "linear", "cubic", "conservative"):
            out = interpolation_matrix(coarse, fine, method) @ values  # type: ignore[arg-type]
            assert out[:2].tolist() == [1.0, 1.0]
            assert out[-3:].tolist() == [2.0, 2.0, 2.0]

    def test_cyclic_interpolates_across_the_seam(self) -> None:
        coarse = Axis(-180.0, 30.0, 0, 12, "longitude", 12)
        between = Axis(165.0, 1.0, 0, 1, "longitude")
        row = interpolation_matrix(coarse, between, "linear").toarray()[0]
        assert row[[11, 0]].tolist() == [0.5, 0.5]
        cubic = interpolation_matrix(coarse, between, "cubic").toarray()[0]
        np.testing.assert_allclose(cubic[[10, 11, 0, 1]], [-0.0625, 0.5625, 0.5625, -0.0625], atol=1e-15)

    @pytest.mark.parametrize("turn", [-5760, 0, 5760])
    def test_windows_meet_modulo_the_period(self, turn: int) -> None:
        coarse = MERRA2.x.window(570, 12)
        fine = G5NR.x.window(5700 + turn, 100)
        for method in ("nearest", "linear", "cubic", "conservative"):
            ours = interpolation_matrix(coarse, fine, method).toarray()  # type: ignore[arg-type]
            plain = interpolation_matrix(coarse, G5NR.x.window(5700, 100), method).toarray()  # type: ignore[arg-type]
            np.testing.assert_allclose(ours, plain, atol=1e-10)

    def test_conservative_shares_by_overlap(self) -> None:
        coarse, fine = Axis(0.0, 1.0, 0, 3), Axis(0.5, 1.0, 0, 2)
        expected = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
        np.testing.assert_allclose(interpolation_matrix(coarse, fine, "conservative").toarray(), expected)

    def test_unknown_method(self) -> None:
        with pytest.raises(ValueError, match="method is 'bicubic': expected one of"):
            interpolation_matrix(MERRA2.y, G5NR.y, "bicubic")  # type: ignore[arg-type]


class TestSeparable:
    coarse = MERRA2.window((200, 6), (573, 7))
    fine = refined(coarse, G5NR)

    @pytest.mark.parametrize("operator", [coarsening(fine, coarse), upsampling(coarse, fine, "cubic")])
    def test_is_the_product_of_dense_matrices(self, operator: Separable) -> None:
        shape = operator.y.shape[1], operator.x.shape[1]
        field = np.random.default_rng(0).normal(size=(2, 3, *shape))
        expected = np.einsum(
            "iy,aby x,jx->abij".replace(" ", ""), operator.y.toarray(), field, operator.x.toarray()
        )
        np.testing.assert_allclose(operator(field), expected, rtol=1e-12, atol=1e-14)

    def test_bits_do_not_depend_on_what_stands_before(self) -> None:
        operator = upsampling(self.coarse, self.fine, "cubic")
        fields = np.random.default_rng(1).normal(size=(4, *self.coarse.shape))
        together = operator(fields)
        for i, field in enumerate(fields):
            assert (operator(field) == together[i]).all()
        assert (operator(fields[:, ::-1].copy()[:, ::-1]) == together).all()
        assert together.flags.c_contiguous

    def test_no_fields(self) -> None:
        assert coarsening(self.fine, self.coarse)(np.empty((0, *self.fine.shape))).shape == (0, 6, 7)

    @pytest.mark.parametrize("method", ["nearest", "linear", "cubic", "conservative"])
    def test_constants_are_kept(self, method: str) -> None:
        up = upsampling(self.coarse, self.fine, method)(np.full(self.coarse.shape, 3.25))  # type: ignore[arg-type]
        np.testing.assert_allclose(up, 3.25, rtol=1e-12)
        down = coarsening(self.fine, self.coarse)(np.full(self.fine.shape, 3.25))
        np.testing.assert_allclose(down, 3.25, rtol=1e-12)

    def test_coarsened_conservative_upsampling_is_near(self) -> None:
        # cells that straddle a coarse edge share: 1/8 and 1/10 of a cell mixes with neighbours
        field = np.zeros(self.coarse.shape)
        field[3, 3] = 1.0
        back = coarsening(self.fine, self.coarse)(upsampling(self.coarse, self.fine, "conservative")(field))
        assert back[3, 3] == pytest.approx((1 - 0.5 / 8) * (1 - 0.5 / 10), rel=1e-3)
        assert back.sum() == pytest.approx(1.0, rel=1e-3)

    def test_nan_spreads(self) -> None:
        field = np.ones(self.fine.shape)
        field[20, 33] = np.nan
        out = coarsening(self.fine, self.coarse)(field)
        assert np.argwhere(np.isnan(out)).tolist() == [[2, 3]]

    def test_mean_leaves_missing_cells_out(self) -> None:
        operator = coarsening(self.fine, self.coarse)
        rng = np.random.default_rng(2)
        field = rng.lognormal(size=self.fine.shape)
        field[rng.random(self.fine.shape) < 0.6] = np.nan
        y, x = operator.y.toarray(), operator.x.toarray()
        i, j = 2, 3
        weights = np.outer(y[i], x[j]) * np.isfinite(field)
        expected = (np.nan_to_num(field) * weights).sum() / weights.sum()
        assert operator.mean(field)[i, j] == pytest.approx(expected, rel=1e-12)
        assert operator.mean(np.ones(self.fine.shape) * field / field)[i, j] == pytest.approx(1.0, rel=1e-12)

    def test_mean_asks_for_enough(self) -> None:
        operator = coarsening(self.fine, self.coarse)
        field = np.ones(self.fine.shape)
        field[:, :31] = np.nan
        assert np.isnan(operator.mean(field)[:, :2]).all()
        # column 3 runs over fine columns 30 to 40, the first a half
        assert (operator.mean(field, min_valid=0.9)[:, 3] == 1.0).all()
        assert np.isnan(operator.mean(field, min_valid=0.96)[:, 3]).all()
        assert np.isnan(operator.mean(np.full(self.fine.shape, np.nan))).all()

    def test_other_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(3, 3\): expected \(49, 71\) at its end"):
            coarsening(self.fine, self.coarse)(np.ones((3, 3)))
        identity = Separable(
            conservative_matrix(self.coarse.y, self.coarse.y),
            conservative_matrix(self.coarse.x, self.coarse.x),
        )
        with pytest.raises(ValueError, match="expected"):
            identity(np.ones(7))
        np.testing.assert_allclose(identity(np.eye(7)[:6]), np.eye(7)[:6], atol=1e-12)
