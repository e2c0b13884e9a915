"""The tables of the seasons in docs/validation.md, from the cards of the bundled models and nothing else.

    python benchmarks/season_table.py [--write]

`make score_djf_asia` and its like put the scores on the cards. A test compares the page with them.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from validation import PAGE, put

import xdownscale
from xdownscale.trial import BANDS_KM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEASONS = ("djf_asia", "mam_asia", "jja_asia", "son_asia")
MADE = "made by benchmarks/season_table.py from the cards"
_NAMES = {"climatology": "climatology of the residual, no network", "mean": "its mean, 1"}
_TEXTURE = [f"over {BANDS_KM[1]:.0f} km", *(f"{b:.0f}-{a:.0f}" for a, b in pairwise(BANDS_KM[1:]))]
_TOP = 2  # lines of a table's head
_COLUMNS = (
    "cells, days",
    "CRPS or MAE over bicubic's MAE",
    "skill of the model against it",
    "spread/skill",
    "R2",
    "99 %",
    "99.9 %",
    *_TEXTURE,
    "semivariance, 0-800 km",
    "ranks over flat",
)
_LINEAR = ("CRPS or MAE over bicubic's MAE", "skill of the model against it", "spread/skill", "R2")
_STEPS = (
    "evaluations",
    "CRPS over bicubic's MAE",
    "spread/skill",
    "R2",
    "99.9 %",
    *_TEXTURE,
    "ranks over flat",
)


def main() -> None:
    asked = arguments()
    cards = {name: xdownscale.list_models()[name] for name in SEASONS}
    text = tables({name: card.scores for name, card in cards.items()})
    if asked.write:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), text, MADE), encoding="utf-8")
    print(text)


def tables(scores: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Of the default beside all sources, also in linear space; of other evaluations; of smoothed input.

    Parameters
    ----------
    scores : mapping of str to rows
        `Card.scores` by the name of the model.

    Returns
    -------
    str
        Markdown.
    """
    whole, linear, steps, smooth = (
        _head("", *_COLUMNS),
        _head("linear space", *_LINEAR),
        _head("", *_STEPS),
        _head("", "input smoothed by, coarse cells", *_COLUMNS),
    )
    for name, found in scores.items():
        rows = list(found)
        default = {_where(row) for row in rows if row["evaluations"] == "fast" and "smoothing" not in row}
        for row in rows:
            told = f"**{name}**, {row['evaluations']}" if row["name"] == "prediction" else _named(row["name"])
            if "smoothing" in row:
                smooth.append(_line(told, f"{row['smoothing']:g}", *_judged(row)))
            elif row["evaluations"] in (None, "fast"):
                if _where(row) not in default:
                    continue
                whole.append(_line(told, *_judged(row)))
                if "linear_r2" in row:
                    linear.append(_line(told, *_in_linear_space(row)))
            else:
                steps.append(_line(name, *_stepped(row)))
    return "\n\n".join("\n".join(lines) for lines in (whole, linear, steps, smooth) if len(lines) > _TOP)


def _where(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["cells"], row["days"]


def _named(source: str) -> str:
    return _NAMES.get(source, source)


def _judged(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['cells'].replace('x', ' x ')}, {row['days']}",
        _error(row),
        _skill(row),
        _spread(row),
        _number(row["r2"], 4),
        _number(row["quantile_0.99"]),
        _number(row["quantile_0.999"]),
        *map(_number, row["spectrum"]),
        _range(row["semivariogram"]),
        _ranks(row),
    ]


def _in_linear_space(row: Mapping[str, Any]) -> list[str]:
    raw = {key.removeprefix("linear_"): value for key, value in row.items() if key.startswith("linear_")}
    return [
        _error(raw),
        _skill(raw),
        _spread(raw),
        _number(raw["r2"], 4),
    ]


def _stepped(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["evaluations"]),
        _error(row),
        _spread(row),
        _number(row["r2"], 4),
        _number(row["quantile_0.999"]),
        *map(_number, row["spectrum"]),
        _ranks(row),
    ]


def _error(row: Mapping[str, Any]) -> str:
    bounds = f" ({_number(row['low'])}-{_number(row['high'])})" if "low" in row else ""
    return _number(row["crps_over_bicubic_mae"], 3) + bounds


def _skill(row: Mapping[str, Any]) -> str:
    return _bounded(row, "skill", " to ")


def _spread(row: Mapping[str, Any]) -> str:
    return _bounded(row, "spread_skill", "-")


def _bounded(row: Mapping[str, Any], key: str, until: str) -> str:
    low, high = (row.get(f"{key}_{end}") for end in ("low", "high"))
    bounds = "" if low is None else f" ({_number(low)}{until}{_number(high)})"
    return _number(row.get(key)) + bounds


def _ranks(row: Mapping[str, Any]) -> str:
    flat = f" ({row['ranks_flat']} of {row['members'] + 1})" if "ranks_flat" in row else ""
    together = f", p {_number(row['ranks_p'], 3)}" if "ranks_p" in row else ""
    return _range(row.get("ranks")) + flat + together


def _range(pair: Any) -> str:
    return "-" if pair is None else f"{_number(pair[0])}-{_number(pair[1])}"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _head(*names: str) -> list[str]:
    return [_line(*names), f"{'|---' * len(names)}|"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into docs/validation.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
