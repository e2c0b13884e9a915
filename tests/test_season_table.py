"""The seasons' tables say what the cards say, and the page holds them."""

from __future__ import annotations

import pytest
import season_table
import validation

import xdownscale

ROW = {
    "name": "prediction",
    "evaluations": "fast",
    "cells": "41x61",
    "days": 5,
    "crps_over_bicubic_mae": 0.4,
    "low": 0.35,
    "high": 0.45,
    "spread_skill": 1.02,
    "spread_skill_low": 0.97,
    "spread_skill_high": 1.05,
    "r2": 0.98765,
    "quantile_0.99": 1.0,
    "quantile_0.999": 0.97,
    "spectrum": [None, 1.0, 0.99, 0.98, 0.97, 0.9],
    "semivariogram": [0.96, 1.01],
    "ranks": [0.8, 1.2],
    "ranks_flat": 15,
    "members": 16,
}
OTHER = ROW | {"name": "bicubic", "evaluations": None, "spread_skill": None, "ranks": None, "skill": 0.6}
OTHER |= {"skill_low": 0.5, "skill_high": 0.7}
for key in ("ranks_flat", "spread_skill_low", "spread_skill_high"):
    del OTHER[key]


def test_numbers() -> None:
    found = season_table.tables({"mine": [ROW, OTHER, ROW | {"evaluations": 8}, ROW | {"smoothing": 1.0}]})
    lines = found.splitlines()
    assert lines[2] == (
        "| **mine**, fast | 41 x 61, 5 | 0.400 (0.35-0.45) | - | 1.02 (0.97-1.05) | 0.9877 | 1.00 | 0.97 "
        "| - | 1.00 | 0.99 | 0.98 | 0.97 | 0.90 | 0.96-1.01 | 0.80-1.20 (15 of 17) |"
    )
    assert lines[3].startswith(
        "| bicubic | 41 x 61, 5 | 0.400 (0.35-0.45) | 0.60 (0.50 to 0.70) | - | 0.9877 |"
    )
    assert lines[-1].startswith(
        "| **mine**, fast | 1 | 41 x 61, 5 | 0.400 (0.35-0.45) | - | 1.02 (0.97-1.05) |"
    )
    assert lines[-5] == (
        "| mine | 8 | 0.400 (0.35-0.45) | 1.02 (0.97-1.05) | 0.9877 | 0.97 | - | 1.00 | 0.99 | 0.98 | 0.97 "
        "| 0.90 | 0.80-1.20 (15 of 17) |"
    )
    boxed = season_table.tables({"mine": [ROW, OTHER, OTHER | {"cells": "8x8"}, ROW | {"evaluations": 8}]})
    assert boxed.count("| bicubic |") == 1, "beside the default, sources of its cells and days alone"
    raw = {"linear_crps_over_bicubic_mae": 0.41, "linear_r2": 0.98, "linear_low": 0.4, "linear_high": 0.43}
    spread = {"spread_skill": 1.1, "spread_skill_low": 1.05, "spread_skill_high": 1.2}
    mine = ROW | raw | {f"linear_{key}": value for key, value in spread.items()}
    both = season_table.tables({"mine": [mine, OTHER | raw | {"linear_skill": 0.5}]}).splitlines()
    assert "| **mine**, fast | 0.410 (0.40-0.43) | - | 1.10 (1.05-1.20) | 0.9800 |" in both
    assert "| bicubic | 0.410 (0.40-0.43) | 0.50 | - | 0.9800 |" in both
    widths = {line.count("|") for line in lines if line}
    assert len(widths) == 3, "each table has one number of columns"


def test_page() -> None:
    """The page is made from the cards: python benchmarks/season_table.py --write."""
    page = validation.PAGE.read_text(encoding="utf-8")
    cards = xdownscale.list_models()
    made = season_table.tables({name: cards[name].scores for name in season_table.SEASONS})
    assert validation.put(page, made, season_table.MADE) == page


def test_marks() -> None:
    end = "<!-- end of what is made -->"
    page = f"a <!-- one -->old{end} b <!-- two -->old{end} c"
    assert validation.put(page, "new", "two") == f"a <!-- one -->old{end} b <!-- two -->\n\nnew\n\n{end} c"
    for wrong in ("a page without marks", f"{end} <!-- one -->", page + "<!-- one -->"):
        with pytest.raises(ValueError, match="once in the page"):
            validation.put(wrong, "text", "one")
