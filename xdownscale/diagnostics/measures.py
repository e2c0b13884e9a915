"""From the sums of days to scores, for any number of weighted days at once.

With hits h, false alarms f, misses m, rejections r and n = h + f + m + r,

    POD = h / (h + m),  FAR = f / (h + f),  CSI = h / (h + m + f),  frequency bias = (h + f) / (h + m),
    ETS = (h - c) / (h + m + f - c),  c = (h + f)(h + m) / n

(Wilks 2019, Statistical methods in the atmospheric sciences, chapter 9). FAR is the false alarm ratio. A
score whose denominator is zero is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BY_THRESHOLD", "ERRORS", "Measure", "measures", "total"]


@dataclass(frozen=True)
class Measure:
    """What a score is called, and its best value.

    Attributes
    ----------
    long_name : str
    best : float
    dimensional : bool
        Whether it has the units of the values.
    """

    long_name: str
    best: float
    dimensional: bool = False


ERRORS = {
    "bias": Measure("mean of the members' mean minus the truth", 0.0, True),
    "rmse": Measure("root mean square error of the members' mean", 0.0, True),
    "mae": Measure("mean absolute error of the members' mean", 0.0, True),
    "r2": Measure("1 - SSE/SST of the members' mean", 1.0),
    "r2_corr": Measure("squared correlation of the members' mean", 1.0),
    "crps": Measure("fair continuous ranked probability score; absolute error of a single field", 0.0, True),
    "crpss": Measure("skill of the prediction against the source, 1 - its CRPS over the source's", np.nan),
    "spread_skill": Measure("spread of the members over the error of their mean", 1.0),
}
BY_THRESHOLD = {
    "pod": Measure("probability of detection", 1.0),
    "far": Measure("false alarm ratio", 0.0),
    "csi": Measure("critical success index", 1.0),
    "ets": Measure("equitable threat score", 1.0),
    "frequency_bias": Measure("events forecast over events seen", 1.0),
    "brier": Measure("fair Brier score", 0.0),
}
_MEANS = ("mean_x", "mean_y", "xx", "yy", "xy")
_LARGEST = "largest"


def total(
    days: dict[str, NDArray[np.float64]], counts: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Sums over weighted days.

    Parameters
    ----------
    days : dict of ndarray, shapes (days, ...)
        From `tally.Tally`, day by day.
    counts : ndarray, shape (replicates, days)
        How often each day counts.

    Returns
    -------
    dict of ndarray, shapes (replicates, ...)
        Means and second moments are those of all cells and days together.
    """

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.tensordot(counts, values, axes=(1, 0)))

    out = {key: summed(v) for key, v in days.items() if key not in (*_MEANS, _LARGEST)}
    each = days["weight"][:, None, None]
    weight = out["weight"][:, None, None]
    centre, shift = {}, {}
    for axis in ("x", "y"):
        mean = days[f"mean_{axis}"]
        centre[axis] = (each * mean).sum(axis=0) / each.sum()
        shift[axis] = mean - centre[axis]
    off = {axis: summed(each * shift[axis]) / weight for axis in shift}
    for axis in ("x", "y"):
        out[f"mean_{axis}"] = centre[axis] + off[axis]
    for one, other in ("xx", "yy", "xy"):
        moment = summed(days[one + other] + each * shift[one] * shift[other])
        out[one + other] = moment - weight * off[one] * off[other]
    # of days that count at all
    if _LARGEST in days:
        out[_LARGEST] = np.max(np.where(counts[..., None] > 0, days[_LARGEST], 0.0), axis=1)
    return out


def measures(
    sums: dict[str, NDArray[np.float64]], members: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    """Scores of sums.

    Parameters
    ----------
    sums : dict of ndarray, shapes (replicates, ...)
        From `total`.
    members : tuple of int
        Of each source.

    Returns
    -------
    dict of ndarray
        (replicates, spaces, sources) for errors, (replicates, thresholds, sources) for events, `fss`
        (replicates, thresholds, windows, sources), `rank_histogram` (replicates, sources, ranks), `base_rate`
        (replicates, thresholds), `conservation_rms` and `conservation_max` (replicates, sources).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _errors(sums, np.asarray(members, dtype=np.float64)) | _events(sums)
        found["fss"] = 1 - sums["fss_apart"] / sums["fss_most"]
        ranked = sums["ranks"]
        found["rank_histogram"] = ranked / np.nansum(ranked, axis=-1, keepdims=True)
        if "residual" in sums:
            found["conservation_rms"] = np.sqrt(sums["residual"] / sums["input"])
            found["conservation_max"] = sums[_LARGEST]
    return {key: np.where(np.isfinite(value), value, np.nan) for key, value in found.items()}


def _errors(s: dict[str, NDArray[Any]], members: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    weight = s["weight"][:, None, None]
    # rounding leaves a constant truth a variance of 1e-32 of its square
    varied = s["yy"] > 1e-28 * weight * s["mean_y"] ** 2
    return {
        "bias": s["mean_x"] - s["mean_y"],
        "rmse": np.sqrt(s["sse"] / weight),
        "mae": s["sae"] / weight,
        "r2": np.where(varied, 1 - s["sse"] / s["yy"], np.nan),
        "r2_corr": np.where(varied, s["xy"] ** 2 / (s["xx"] * s["yy"]), np.nan),
        "crps": s["crps"] / weight,
        "crpss": 1 - s["crps"][..., :1] / s["crps"],
        "spread_skill": np.sqrt((members + 1) / members * s["spread"] / s["sse"]),
    }


def _events(s: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    h, f, m, r = (s[key] for key in ("hits", "false_alarms", "misses", "rejections"))
    n = h + f + m + r
    chance = (h + f) * (h + m) / n
    return {
        "pod": h / (h + m),
        "far": f / (h + f),
        "csi": h / (h + m + f),
        "ets": (h - chance) / (h + m + f - chance),
        "frequency_bias": (h + f) / (h + m),
        "brier": s["brier"] / s["weight"][:, None, None],
        "base_rate": ((h + m) / n)[..., 0],
    }
