"""Axes, their records, and windows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xdownscale.grid import G5NR, MERRA2, Axis, Grid, coarsening, covered, factor, refined


class TestAxis:
    def test_sizes_of_the_two_archives(self) -> None:
        assert MERRA2.shape == (361, 576)
        assert G5NR.shape == (2881, 5760)
        assert G5NR.y.size == 8 * (MERRA2.y.size - 1) + 1
        assert factor(MERRA2, G5NR) == (8.0, 10.0)
        assert MERRA2.y.values[[0, -1]].tolist() == [-90.0, 90.0]
        assert MERRA2.x.values[[0, -1]].tolist() == [-180.0, 179.375]
        assert G5NR.x.values[-1] == 179.9375

    def test_edges_end_at_the_poles(self) -> None:
        assert MERRA2.y.edges[[0, 1, -2, -1]].tolist() == [-90.0, -89.75, 89.75, 90.0]
        beyond = G5NR.y.window(-3, 6)
        assert beyond.edges.tolist() == [-90.0, -90.0, -90.0, -90.0, -89.96875, -89.90625, -89.84375]
        assert (beyond.measure[:3] == 0).all()

    def test_areas_make_a_sphere(self) -> None:
        for grid in (MERRA2, G5NR):
            assert grid.area.sum() == pytest.approx(4 * np.pi, rel=1e-12)
        one = Grid(Axis(0.0, 1.0, 0, 1, "latitude"), Axis(0.0, 2.0, 0, 1, "longitude"))
        assert one.area[0, 0] == pytest.approx(2 * np.sin(np.deg2rad(0.5)) * np.deg2rad(2.0), rel=1e-14)

    def test_plane(self) -> None:
        axis = Axis(1000.0, 250.0, -2, 3)
        assert axis.values.tolist() == [500.0, 750.0, 1000.0]
        assert axis.edges.tolist() == [375.0, 625.0, 875.0, 1125.0]
        assert axis.measure.tolist() == [250.0] * 3
        assert axis.index.tolist() == [-2, -1, 0]
        assert not axis.cyclic

    def test_a_window_across_the_dateline_runs_on(self) -> None:
        axis = MERRA2.x.window(574, 4)
        assert axis.values.tolist() == [178.75, 179.375, 180.0, 180.625]
        assert not axis.cyclic
        assert MERRA2.x.window(100, 576).cyclic

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"step": 0.0}, "step 0.0: expected finite numbers, step > 0"),
            ({"step": -0.5}, "step -0.5"),
            ({"step": np.nan}, "step nan"),
            ({"step": np.inf}, "step inf"),
            ({"origin": np.nan}, "origin nan"),
            ({"size": 0}, "size 0: expected 1 to 10000000 cells"),
            ({"size": -3}, "size -3"),
            ({"size": 10**8}, "size 100000000"),
            ({"start": -(10**8)}, "start -100000000"),
            ({"kind": "height"}, "kind is 'height': expected one of"),
            ({"kind": "plane"}, "period is 576 on a plane axis"),
            ({"period": 500}, "period is 500 cells of 0.625: expected 360 degrees together"),
        ],
    )
    def test_numbers_out_of_range_are_refused(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Axis(**{**MERRA2.x.to_dict(), **change})

    @pytest.mark.parametrize("change", [{"size": 3.0}, {"start": "0"}, {"size": True}, {"origin": "-180"}])
    def test_other_types_are_refused(self, change: dict[str, object]) -> None:
        with pytest.raises(TypeError):
            Axis(**{**MERRA2.x.to_dict(), **change})


class TestLocate:
    @pytest.mark.parametrize(("start", "size"), [(0, 361), (0, 1), (360, 1), (200, 95)])
    def test_latitudes(self, start: int, size: int) -> None:
        axis = MERRA2.y.window(start, size)
        assert MERRA2.y.locate(axis.values) == axis
        assert MERRA2.y.locate(axis.values.astype(np.float32).tolist()) == axis

    @pytest.mark.parametrize(("start", "size"), [(0, 576), (570, 10), (575, 1), (288, 576)])
    @pytest.mark.parametrize("turn", [-720.0, -360.0, 0.0, 360.0])
    def test_longitudes_modulo_a_turn(self, start: int, size: int, turn: float) -> None:
        axis = MERRA2.x.window(start, size)
        assert MERRA2.x.locate(axis.values + turn) == axis

    def test_start_is_normalised(self) -> None:
        assert MERRA2.x.locate([-180.625, -180.0]).start == 575
        assert MERRA2.x.locate(np.arange(576) * 0.625).start == 288
        assert Axis(0.0, 10.0, 0, 5).locate([-30.0, -20.0]).start == -3

    def test_from_any_window(self) -> None:
        assert MERRA2.y.window(100, 3).locate([10.0, 10.5]) == MERRA2.y.window(200, 2)

    def test_float32_of_the_fine_grid(self) -> None:
        axis = G5NR.x.window(5700, 100)
        assert G5NR.x.locate(axis.values.astype(np.float32)) == axis

    def test_tolerance_is_a_thousandth_of_a_cell(self) -> None:
        values = MERRA2.y.window(200, 5).values
        assert MERRA2.y.locate(values + 0.9e-3 * 0.5).start == 200
        with pytest.raises(ValueError, match=r"shifted by 0.0011 of a cell"):
            MERRA2.y.locate(values + 1.1e-3 * 0.5)
        assert MERRA2.y.locate(values + 0.1, tolerance=0.3).start == 200

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([10.0, 10.5, 11.5], r"not uniform: spacing from 0.5 to 1, expected 0.5"),
            ([10.0, 10.25, 10.5], r"another resolution: spacing is 0.25, expected 0.5"),
            ([10.0, 11.0], r"another resolution: spacing is 1, expected 0.5"),
            ([10.25, 10.75], r"shifted by 0.5 of a cell: starts at 10.25, the grid has a centre at"),
            ([10.125], r"shifted by 0.25 of a cell: starts at 10.125, the grid has a centre at 10;"),
            ([89.5, 90.0, 90.5], r"latitude reaches 90.5: expected -90 to 90"),
            ([-120.0, -119.5], r"latitude reaches -120"),
            ([11.0, 10.5, 10.0], r"descending, 11 to 10: sort"),
            ([10.0, 10.5, 10.5], r"not ascending, 10 to 10.5"),
            ([10.0, np.nan], r"1 NaN: expected a row without"),
            ([10.0, np.inf], r"expected a row without"),
            ([], r"coordinates of shape \(0,\)"),
            ([[10.0, 10.5]], r"coordinates of shape \(1, 2\)"),
        ],
    )
    def test_what_is_wrong_is_said(self, values: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MERRA2.y.locate(values)

    def test_a_spacing_slightly_off_is_another_resolution(self) -> None:
        with pytest.raises(ValueError, match=r"another resolution: spacing is 0.50002, expected 0.5;"):
            MERRA2.y.locate(-80 + 0.50002 * np.arange(300))

    def test_longitudes_more_than_once_round(self) -> None:
        with pytest.raises(ValueError, match="577 longitudes: expected at most the 576 of a whole turn"):
            MERRA2.x.locate(-180 + 0.625 * np.arange(577))

    def test_longitudes_that_jump_back_at_the_dateline(self) -> None:
        with pytest.raises(ValueError, match=r"not ascending, 178.75 to -179.375: sort; longitudes run on"):
            MERRA2.x.locate([178.75, 179.375, -180.0, -179.375])

    @pytest.mark.parametrize("far", [1e8, 1e300])
    def test_numbers_of_another_unit(self, far: float) -> None:
        with pytest.raises(ValueError, match=r"the grid's origin is 0: check the units"):
            Axis(0.0, 1.0, 0, 5).locate([far])


class TestRecords:
    @pytest.mark.parametrize(
        "grid",
        [
            MERRA2,
            G5NR.window((3, 4), (-7, 9)),
            Grid(Axis(0.0, 5.0, 0, 3), Axis(0.0, 5.0, 0, 3), "EPSG:32633"),
        ],
    )
    def test_round_trip_through_json(self, grid: Grid) -> None:
        again = Grid.from_dict(json.loads(json.dumps(grid.to_dict())))
        assert again == grid
        assert again.token == grid.token

    def test_tokens_tell_grids_apart(self) -> None:
        others = [
            MERRA2,
            G5NR,
            MERRA2.window((0, 361), (1, 576)),
            MERRA2.window((0, 360), (0, 576)),
            Grid(MERRA2.y, MERRA2.x, "EPSG:4979"),
        ]
        assert len({g.token for g in others}) == len(others)
        assert len(MERRA2.token) == 16

    def test_equal_numbers_of_other_types_are_equal(self) -> None:
        axis = Axis(-90, np.float64(0.5), np.int64(0), np.int32(361), "latitude")  # type: ignore[arg-type]
        assert axis == MERRA2.y
        assert Grid(axis, MERRA2.x).token == MERRA2.token

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {**MERRA2.y.to_dict(), "extra": 1},
            {k: v for k, v in MERRA2.y.to_dict().items() if k != "step"},
            [1, 2],
            None,
        ],
    )
    def test_other_keys_are_refused(self, content: object) -> None:
        with pytest.raises(ValueError, match="an axis has "):
            Axis.from_dict(content)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a grid has "):
            Grid.from_dict({"y": content})

    def test_other_values_are_refused(self) -> None:
        with pytest.raises(ValueError, match="size 1000000000"):
            Axis.from_dict({**MERRA2.y.to_dict(), "size": 10**9})
        with pytest.raises(TypeError, match=r"step is '0.5': expected a number"):
            Axis.from_dict({**MERRA2.y.to_dict(), "step": "0.5"})


class TestWindows:
    def test_covered_undoes_refined(self, coarse: Grid) -> None:
        assert covered(refined(coarse, G5NR), MERRA2) == coarse

    def test_refined_holds_every_cell_that_overlaps(self, coarse: Grid) -> None:
        fine = refined(coarse, G5NR)
        operator = coarsening(fine, coarse)
        np.testing.assert_allclose(operator.y.sum(axis=1), 1.0, atol=1e-10)
        np.testing.assert_allclose(operator.x.sum(axis=1), 1.0, atol=1e-10)
        # and none that does not
        assert (operator.y.max(axis=0).toarray() > 0).all()
        assert (operator.x.max(axis=0).toarray() > 0).all()

    def test_sizes(self) -> None:
        assert refined(MERRA2.window((200, 4), (300, 5)), G5NR).shape == (4 * 8 + 1, 5 * 10 + 1)
        assert refined(MERRA2.window((0, 4), (0, 576)), G5NR).shape == (29, 5760)
        assert refined(MERRA2, G5NR) == G5NR
        assert covered(G5NR, MERRA2) == MERRA2

    def test_covered_drops_cells_that_are_cut(self) -> None:
        # one fine row less on either side cuts the half cells off
        fine = refined(MERRA2.window((200, 6), (300, 6)), G5NR)
        less = G5NR.window((fine.y.start + 1, fine.y.size - 1), (fine.x.start, fine.x.size - 1))
        assert covered(less, MERRA2) == MERRA2.window((201, 5), (300, 5))

    def test_no_whole_cell(self) -> None:
        with pytest.raises(
            ValueError, match=r"no whole cell of 0.5 in latitude 9.96875 to 10.2188: expected a larger"
        ):
            covered(G5NR.window((1600, 4), (0, 100)), MERRA2)
        with pytest.raises(ValueError, match=r"no whole cell of 0.625 in longitude"):
            covered(G5NR.window((1600, 40), (5, 10)), MERRA2)

    def test_poles(self) -> None:
        # the polar cell is a quarter of a degree and reaches from the pole: 4 and a half fine cells
        assert covered(G5NR.window((0, 5), (0, 5760)), MERRA2).y == MERRA2.y.window(0, 1)
        assert covered(G5NR.window((2876, 5), (0, 5760)), MERRA2).y == MERRA2.y.window(360, 1)
        with pytest.raises(ValueError, match="no whole cell"):
            covered(G5NR.window((0, 4), (0, 5760)), MERRA2)
        with pytest.raises(ValueError, match="no whole cell"):
            covered(G5NR.window((1, 5), (0, 5760)), MERRA2)

    def test_a_grid_with_edges_at_the_poles(self) -> None:
        coarse = Grid(Axis(-89.0, 2.0, 0, 90, "latitude"), Axis(1.0, 2.0, 0, 180, "longitude", 180))
        fine = Grid(Axis(-89.75, 0.5, 0, 360, "latitude"), Axis(0.25, 0.5, 0, 720, "longitude", 720))
        assert refined(coarse, fine) == fine
        assert covered(fine, coarse) == coarse
        part = coarse.window((88, 2), (177, 5))
        assert refined(part, fine).shape == (8, 20)
        assert covered(refined(part, fine), coarse) == part

    def test_projected(self) -> None:
        coarse = Grid(Axis(500.0, 1000.0, 0, 8), Axis(500.0, 1000.0, 0, 9), "EPSG:32633")
        fine = Grid(Axis(125.0, 250.0, 0, 32), Axis(125.0, 250.0, 0, 36), "EPSG:32633")
        assert refined(coarse, fine) == fine
        assert covered(fine.window((1, 31), (0, 35)), coarse) == coarse.window((1, 7), (0, 8))
        field = np.arange(32.0 * 36).reshape(32, 36)
        blocks = field.reshape(8, 4, 9, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(coarsening(fine, coarse)(field), blocks, rtol=1e-13)
