"""Patches: where they lie, what they weigh, and that merging undoes cutting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xdownscale.patches import Layout, Tiling, layout, line

PERIOD = 480


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    """Any that is allowed, small enough to try many."""
    halo = draw(st.integers(0, 20))
    ramp = draw(st.integers(0, 20))
    final = draw(st.booleans())
    patch = draw(st.integers(1, 12)) * 8
    room = patch - 2 * halo
    if final:
        stride = draw(st.one_of(st.none(), st.integers(1, max(room, 1))))
        assume(room >= 1 and (stride is not None or room - ramp >= 1))
        return Tiling(patch=patch, halo=halo, ramp=ramp, stride=stride, merge="final")
    assume(room >= 8)
    return Tiling(patch=patch, halo=halo, ramp=ramp, stride=8 * draw(st.integers(1, room // 8)))


@st.composite
def spans(draw: st.DrawFn, tiling: Tiling) -> tuple[int, int, int | None]:
    if draw(st.booleans()) and PERIOD % tiling.spacing == 0:
        return draw(st.integers(0, PERIOD - 1)), PERIOD, PERIOD
    return draw(st.integers(-300, 3000)), draw(st.integers(1, 150)), draw(st.sampled_from([None, 5760]))


def merged(plan: Layout, field: Any) -> Any:
    total = torch.zeros_like(field) if isinstance(field, torch.Tensor) else np.zeros_like(field)
    for k in plan:
        plan.accumulate(total, k, plan.extract(field, k))
    return total


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_merging_undoes_cutting(data: st.DataObject) -> None:
    tiling = data.draw(tilings())
    y, x = data.draw(spans(tiling)), data.draw(spans(tiling))
    plan = layout(y, x, tiling)
    assume(len(plan) <= 1500)
    field = np.random.default_rng(0).normal(size=(2, *plan.shape))
    np.testing.assert_allclose(merged(plan, field), field, atol=2e-6)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_weights_and_reach(data: st.DataObject) -> None:
    tiling = data.draw(tilings())
    start, size, period = data.draw(spans(tiling))
    one = line(start, size, period, tiling)
    total, most = np.zeros(one.size), np.zeros(one.size)
    for k, weights in enumerate(one.weights):
        first, length = one.span(k)
        assert weights.shape == one.index(k).shape == (length,)
        assert (weights >= 0).all()
        np.add.at(total, one.index(k), weights.astype(float))
        np.maximum.at(most, one.index(k), weights)
        # estimates in the halo of an inner edge count for nothing
        inwards = first - one.starts[k] + np.arange(length)
        if k > 0 or one.cyclic:
            assert (weights[inwards < tiling.halo] == 0).all()
        if k < len(one.starts) - 1 or one.cyclic:
            assert (weights[inwards >= tiling.patch - tiling.halo] == 0).all()
        assert one.starts[k] % tiling.spacing == 0
        assert first % 8 == length % 8 == 0 or tiling.merge == "final"
    np.testing.assert_allclose(total, 1.0, atol=1e-6)
    assert (most > 0).all()
    if one.cyclic:
        assert (one.start, one.size) == (0, period)
        return
    before, after = start - tiling.halo - one.start, one.start + one.size - (start + size + tiling.halo)
    assert min(before, after) >= 0
    # nothing is computed which nobody sees
    assert tiling.merge == "final" or max(before, after) < 8


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_interior_patches_do_not_know_the_domain(data: st.DataObject) -> None:
    tiling = data.draw(tilings())
    start, size = data.draw(st.integers(-100, 1000)), data.draw(st.integers(1, 400))
    before, after = data.draw(st.integers(0, 200)), data.draw(st.integers(0, 200))
    one, grown = line(start, size, None, tiling), line(start - before, before + size + after, None, tiling)
    overlapping = -(-tiling.patch // tiling.spacing)
    # a patch that meets no outer patch of either domain is whole, at the same place, and weighs the same
    for k in range(overlapping, len(one.starts) - overlapping):
        other = grown.starts.index(one.starts[k])
        assert one.span(k) == grown.span(other) == (one.starts[k], tiling.patch)
        if overlapping <= other < len(grown.starts) - overlapping:
            assert (grown.weights[other] == one.weights[k]).all()


class TestTiling:
    def test_defaults(self) -> None:
        tiling = Tiling()
        assert (tiling.patch, tiling.halo, tiling.ramp, tiling.spacing) == (496, 48, 16, 384)
        # G5NR goes round in whole strides
        assert 5760 % tiling.spacing == 0

    def test_the_papers(self) -> None:
        tiling = Tiling(patch=16, halo=4, ramp=4, stride=2, merge="final")
        assert tiling.spacing == 2
        plan = layout((100, 40, None), (100, 40, None), tiling)
        assert len(plan) == len(plan.y.starts) ** 2
        assert plan.y.starts == tuple(range(96, 130, 2))
        field = np.random.default_rng(0).normal(size=plan.shape)
        np.testing.assert_allclose(merged(plan, field), field, atol=1e-6)
        # four patches share an inner cell: 16 - 2 * 4 = 8 cells in strides of 2
        counts = np.zeros(plan.y.size)
        for k in range(len(plan.y.starts)):
            counts[plan.y.index(k)] += plan.y.weights[k] > 0
        assert (counts[10:-10] == 4).all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"patch": 250}, "patch is 250: expected a multiple of 8"),
            ({"patch": 0}, "patch is 0: expected a whole number of at least 8"),
            ({"patch": 256.0}, "patch is 256.0: expected a whole number"),
            ({"halo": -1}, "halo is -1: expected a whole number of at least 0"),
            ({"ramp": -1}, "ramp is -1"),
            ({"batch": 0}, "batch is 0: expected a whole number of at least 1"),
            ({"batch": True}, "batch is True"),
            ({"stride": 12}, "stride is 12: expected a multiple of 8"),
            ({"stride": 408}, "stride is 408: expected at most 400, or cells are missed"),
            ({"stride": 0}, "nothing is left inside"),
            ({"halo": 240}, "nothing is left inside; expected a patch of at least 504"),
            ({"merge": "mean"}, "merge is 'mean': expected 'step' or 'final'"),
            ({"patch": None, "stride": 8}, "patch is None, the whole domain"),
            ({"patch": None, "merge": "final"}, "patch is None, the whole domain"),
        ],
    )
    def test_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Tiling(**change)

    def test_the_patch_it_asks_for_is_enough(self) -> None:
        assert Tiling(patch=504, halo=240, ramp=16).spacing == 8


class TestLine:
    def test_hann_ramp(self) -> None:
        tiling = Tiling(patch=32, halo=4, ramp=8)
        one = line(0, 200, None, tiling)
        rise = np.sin(0.5 * np.pi * (np.arange(8) + 0.5) / 8) ** 2
        expected = [*np.zeros(4), *rise, *np.ones(8), *rise[::-1], *np.zeros(4)]
        np.testing.assert_allclose(one.weights[3], expected, atol=1e-7)
        # no weight is lost at the ends of the extended domain, where there is no neighbour
        assert (one.weights[0][:8] == 1).all()
        assert (one.weights[-1][-4:] == 1).all()

    def test_on_the_absolute_lattice_and_cut(self) -> None:
        one = line(1000, 300, None, Tiling(patch=256))
        assert one.starts == (864, 1008, 1152)
        assert [one.span(k) for k in range(3)] == [(952, 168), (1008, 256), (1152, 200)]
        assert one.starts == line(1001, 299, None, Tiling(patch=256)).starts
        assert (one.start, one.size) == (952, 400)
        assert line(-10, 30, None, Tiling(patch=256)).span(0) == (-64, 136)

    def test_the_papers_patches_are_whole(self) -> None:
        tiling = Tiling(patch=16, halo=4, ramp=4, stride=2, merge="final")
        one = line(101, 9, None, tiling)
        assert [one.span(k) for k in range(len(one.starts))] == [(start, 16) for start in one.starts]

    def test_cyclic(self) -> None:
        one = line(2880, 5760, 5760, Tiling())
        assert one.cyclic
        assert one.starts == tuple(range(0, 5760, 384))
        assert one.index(14).tolist() == [*range(5376, 5760), *range(112)]
        # every patch weighs alike: no edge
        assert all((w == one.weights[0]).all() for w in one.weights)

    def test_cyclic_must_fit(self) -> None:
        message = "5760 cells round the globe: expected a multiple of the patches' spacing 136"
        with pytest.raises(ValueError, match=message):
            line(0, 5760, 5760, Tiling(stride=136))
        with pytest.raises(ValueError, match="at least a patch, 256"):
            line(0, 144, 144, Tiling(patch=256))

    def test_whole_domain_in_one_piece(self) -> None:
        one = line(1003, 301, None, Tiling(patch=None))
        assert one.starts == (952,)
        assert (one.start, one.size, one.patch) == (952, 400, 400)
        assert (one.weights[0] == 1).all()
        with pytest.raises(ValueError, match="has no edge: give a patch size"):
            line(0, 5760, 5760, Tiling(patch=None))


class TestLayout:
    plan = layout((1000, 100, None), (0, PERIOD, PERIOD), Tiling(patch=96, halo=16, ramp=16))

    def test_order_is_rows_first(self) -> None:
        order = list(self.plan)
        assert order == sorted(order)
        assert len(order) == len(self.plan) == len(self.plan.y.starts) * len(self.plan.x.starts)

    def test_numpy_and_torch_alike(self) -> None:
        field = np.random.default_rng(0).normal(size=(3, *self.plan.shape)).astype(np.float32)
        tensor = torch.from_numpy(field)
        for k in self.plan:
            iy, ix = self.plan.index(k)
            assert (self.plan.extract(field, k) == field[:, iy, ix]).all()
            assert (self.plan.extract(tensor, k).numpy() == field[:, iy, ix]).all()
        total = torch.zeros_like(tensor)
        for k in self.plan:
            weight = torch.as_tensor(self.plan.weight(k))
            self.plan.accumulate(total, k, self.plan.extract(tensor, k), weight)
        np.testing.assert_allclose(total.numpy(), merged(self.plan, field), atol=1e-6)

    def test_wrapping_patches_reach_both_ends(self) -> None:
        x = np.broadcast_to(np.arange(PERIOD), self.plan.shape)
        last = self.plan.extract(x, (0, len(self.plan.x.starts) - 1))
        assert last[0].tolist() == [*range(432, 480), *range(48)]

    def test_inner_cuts_the_domain_out(self) -> None:
        rows = np.arange(self.plan.shape[0]) + self.plan.y.start
        iy, ix = self.plan.inner((1000, 100), (0, PERIOD))
        assert rows[iy].tolist() == list(range(1000, 1100))
        assert (ix.start, ix.stop) == (0, PERIOD)

    def test_weight_is_an_outer_product(self) -> None:
        k = (0, 2)
        assert self.plan.weight(k).dtype == np.float32
        assert (self.plan.weight(k) == np.outer(self.plan.y.weights[0], self.plan.x.weights[2])).all()
