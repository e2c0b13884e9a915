"""Colours are told apart."""

from __future__ import annotations

from itertools import combinations

from xdownscale.plot.palette import TRUTH, colours


def test_names_keep_their_colours_and_no_two_are_alike() -> None:
    names = ["prediction", "nearest", "bilinear", "bicubic", "conservative", "a", "b", "c", "d"]
    found = colours(names)
    assert list(found) == names
    assert found["bicubic"] == colours(["bicubic"])["bicubic"]
    rgb = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (*found.values(), TRUTH)]
    assert min(sum(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in combinations(rgb, 2)) > 60
