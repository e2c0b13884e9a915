"""The nature run against the published statistics of dust: a table of measured values and targets.

    python benchmarks/nature_run_acceptance.py --fine work/asia/2005.zarr --fine work/asia/2006.zarr \
        --record work/asia/record.zarr

Without stores, twelve days of a small box are simulated: enough to see the benchmark run, not to judge the
nature run. Logarithms are of max(AOD, 1e-3); anomalies are from each cell's seasonal curve, a parabola in
the day of the year fitted to all days given (its mean where they span less than two months).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from scipy.signal.windows import hann

from xdownscale.data.nature_run import NatureRun, open_coarse, open_fine, to_datasets
from xdownscale.data.nature_run.geography import SOURCES
from xdownscale.grid import G5NR, coarsening, refined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from numpy.typing import NDArray

KM = 2 * np.pi * 6371.0 / 360 / 16
DISTANCES = np.arange(25.0, 601.0, 25.0)
LAGS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
WINDOW = 64
SHORT = NatureRun("2005-06-20", days=12, seed=1, region=(24.0, 40.0, 40.0, 66.0))
REGIONS = {
    "Taklamakan": ((37.0, 41.0), (76.5, 88.0)),
    "Kuwait": ((28.5, 30.5), (46.5, 48.5)),
    "Gobi": ((41.5, 45.0), (96.0, 111.0)),
    "Arabia": ((16.0, 32.0), (38.0, 56.0)),
    "Sistan": ((30.0, 32.0), (60.5, 63.0)),
    "Central Asia": ((36.0, 46.0), (58.0, 67.0)),
    "East Asia": ((38.0, 45.0), (96.0, 122.0)),
}
SEASONS: dict[str, tuple[str, Callable[[NDArray[Any]], bool]]] = {
    "Arabia": ("most in the warm and dry half, April-September", lambda m: argmax(m) in range(4, 10)),
    "Sistan": (
        "most in June-August, least in December-February",
        lambda m: argmax(m) in (6, 7, 8) and argmax(-m) in (12, 1, 2),
    ),
    "Central Asia": ("most in March-May", lambda m: argmax(m) in (3, 4, 5)),
    "East Asia": ("most in April or May", lambda m: argmax(m) in (4, 5)),
}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    target: str
    met: bool | None = None

    def __str__(self) -> str:
        verdict = {True: "yes", False: "**no**", None: "-"}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {verdict} |"


def argmax(monthly: NDArray[Any]) -> int:
    return int(np.argmax(monthly)) + 1


def within(what: str, value: float, low: float, high: float, unit: str = "", form: str = ".2f") -> Row:
    return Row(what, f"{value:{form}}{unit}", f"{low:g}-{high:g}{unit}", bool(low <= value <= high))


def logarithm(x: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.log(np.maximum(x, np.float32(1e-3))))


class Fine:
    """Seasons of fine truth: log anomalies from each cell's seasonal curve, one season at a time."""

    def __init__(self, seasons: list[tuple[xr.Dataset, xr.Dataset]]) -> None:
        self.seasons = seasons
        self.run = run_of(seasons[0][0])
        self.days = sum(fine.sizes["time"] for fine, _ in seasons)
        self.lat, self.lon = self.run.grid.y.values, self.run.grid.x.values
        self.curves = curves([fine for fine, _ in seasons])
        logs = (logarithm(fine.DUEXTTAU.values) for fine, _ in seasons)
        self.coefficients = sum(np.tensordot(c.T, z, axes=1) for c, z in zip(self.curves, logs, strict=True))
        average = np.concatenate(self.curves).mean(axis=0)
        self.mean = np.tensordot(average, self.coefficients, axes=1)

    def anomalies(self) -> Iterator[NDArray[np.float32]]:
        """Of each season, shape (days, ny, nx)."""
        for (fine, _), curve in zip(self.seasons, self.curves, strict=True):
            a = logarithm(fine.DUEXTTAU.values)
            for day, weights in enumerate(curve):
                a[day] -= np.tensordot(weights, self.coefficients, axes=1)
            yield a

    def pooled(self, *measures: Callable[[NDArray[np.float32]], NDArray[np.float64]]) -> list[Any]:
        """Sums of measures over the seasons, each season read once."""
        totals: list[Any] = [0.0] * len(measures)
        for a in self.anomalies():
            totals = [total + measure(a) for total, measure in zip(totals, measures, strict=True)]
        return totals


def curves(seasons: list[xr.Dataset]) -> list[NDArray[np.float32]]:
    """Orthonormal polynomials in the day of the year, shape (days, 1 or 3) for each season.

    Parabolas where there are two months or more, else the mean alone.
    """
    days = [season.time.dt.dayofyear.values.astype(np.float64) for season in seasons]
    pooled = np.concatenate(days)
    x = (pooled - pooled.mean()) / np.ptp(pooled)
    basis, _ = np.linalg.qr(np.stack([x**p for p in range(3 if np.ptp(pooled) >= 60 else 1)], axis=1))
    breaks = np.cumsum([d.size for d in days])[:-1]
    return [part.astype(np.float32) for part in np.split(basis, breaks)]


def run_of(data: xr.Dataset) -> NatureRun:
    given = json.loads(data.attrs["nature_run"])
    return NatureRun(**{**given, "region": tuple(given["region"])})


def along(lat: NDArray[Any]) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Sums of products and of squares over pairs `DISTANCES` apart, west-east and south-north."""

    def measure(a: NDArray[np.float32]) -> NDArray[np.float64]:
        out = np.zeros((2, 2, DISTANCES.size))
        for i, d in enumerate(DISTANCES):
            for j, phi in enumerate(lat):
                k = round(d / (KM * np.cos(np.deg2rad(phi))))
                if k < a.shape[2]:
                    out[0, :, i] += products(a[:, j, k:], a[:, j, :-k])
            k = round(d / KM)
            if k < a.shape[1]:
                out[1, :, i] += products(a[:, k:], a[:, :-k])
        return out

    return measure


def products(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """Of two ends of the same pairs: sum of products, and the mean sum of squares."""
    squares = [float(np.sum(end * end, dtype=np.float64)) for end in (one, other)]
    return float(np.sum(one * other, dtype=np.float64)), 0.5 * sum(squares)


def in_time(a: NDArray[np.float32]) -> NDArray[np.float64]:
    a = a[:, ::2, ::2]
    return np.array([products(a[k:], a[:-k]) if k < len(a) else (0.0, 0.0) for k in LAGS]).T


def e_fold(lags: Any, correlation: NDArray[Any]) -> float:
    """Where the correlation, 1 at lag 0, falls below 1/e; linear between lags; inf if it does not."""
    x = np.concatenate([[0.0], lags])
    y = np.concatenate([[1.0], correlation])
    below = np.flatnonzero(y < np.exp(-1))
    if not below.size:
        return np.inf
    i = below[0]
    return float(x[i - 1] + (y[i - 1] - np.exp(-1)) / (y[i - 1] - y[i]) * (x[i] - x[i - 1]))


def below_coarse(
    run: NatureRun, *, local: bool, add: NDArray[Any] | float = 0.0
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Sums of squares of the coarse means and of the fine values, area-weighted."""
    part = refined(run.coarse, G5NR)
    rows = slice(part.y.start - run.grid.y.start, part.y.start - run.grid.y.start + part.y.size)
    columns = slice(part.x.start - run.grid.x.start, part.x.start - run.grid.x.start + part.x.size)
    operator, fine, coarse = coarsening(part, run.coarse), part.area, run.coarse.area

    def measure(a: NDArray[np.float32]) -> NDArray[np.float64]:
        total = np.zeros(2)
        for day in a:
            field = day + add
            if local:
                field = field - uniform_filter(field, WINDOW)
            cut = field[rows, columns]
            total += [(coarse * operator(cut) ** 2).sum() / coarse.sum(), (fine * cut**2).sum() / fine.sum()]
        return total

    return measure


def spectrum(a: NDArray[np.float32]) -> NDArray[np.float64]:
    """Power of west-east lines, Hann-windowed, in the middle half of the latitudes."""
    n = a.shape[1]
    lines = a[:, n // 4 : 3 * n // 4] * np.asarray(hann(a.shape[2], sym=False)).astype(np.float32)
    return np.asarray(sum((np.abs(np.fft.rfft(day, axis=-1)) ** 2).mean(axis=0) for day in lines))


def slope(power: NDArray[Any], lat: float, cells: int, longest: float, shortest: float) -> float:
    """Logarithmic slope between two wavelengths [km], of power averaged in bins of a tenth of a decade."""
    k = np.arange(1, power.size) / (cells * KM * np.cos(np.deg2rad(lat)))
    bins = np.floor(10 * np.log10(k)).astype(int)
    inside = (k >= 1 / longest) & (k <= 1 / shortest)
    kept = np.unique(bins[inside])
    x = [np.log(k[inside & (bins == b)]).mean() for b in kept]
    y = [np.log(power[1:][inside & (bins == b)].mean()) for b in kept]
    return float(np.polyfit(x, y, 1)[0])


def source_sigma(fine: Fine) -> dict[str, float]:
    """Standard deviation of daily ln AOD, median over the cells of each source box."""
    inside = {
        box.name: (between(fine.lat, box.lat), between(fine.lon, box.lon))
        for box in SOURCES
        if between(fine.lat, box.lat).size > 3 and between(fine.lon, box.lon).size > 3
    }
    squares: dict[str, Any] = dict.fromkeys(inside, 0.0)
    for a in fine.anomalies():
        for name, (y, x) in inside.items():
            squares[name] = squares[name] + (a[:, y][:, :, x].astype(np.float64) ** 2).sum(axis=0)
    return {name: float(np.median(np.sqrt(total / fine.days))) for name, total in squares.items()}


def between(values: NDArray[Any], span: tuple[float, float]) -> NDArray[np.int64]:
    return np.flatnonzero((values >= span[0]) & (values <= span[1]))


def fine_rows(fine: Fine) -> list[Row]:
    run = fine.run
    kinds = {
        "anomalies, whole domain": below_coarse(run, local=False),
        "anomalies, within 4-degree windows": below_coarse(run, local=True),
        "log AOD itself, within 4-degree windows": below_coarse(run, local=True, add=fine.mean),
    }
    space, time, power, *shares = fine.pooled(along(fine.lat), in_time, spectrum, *kinds.values())
    distance = [e_fold(DISTANCES, part[0] / np.maximum(part[1], 1e-30)) for part in space]
    rows = [
        within("decorrelation distance of log AOD, west-east", distance[0], 100, 300, " km", ".0f"),
        within("decorrelation distance of log AOD, south-north", distance[1], 100, 300, " km", ".0f"),
        within(
            "decorrelation time of log AOD",
            e_fold(LAGS, time[0] / np.maximum(time[1], 1e-30)),
            2,
            6,
            " d",
            ".1f",
        ),
    ]
    for name, (coarse, all_) in zip(kinds, shares, strict=True):
        rows.append(
            within(f"variance below the coarse cell: {name}", 100 * (1 - coarse / all_), 10, 25, " %", ".1f")
        )
    middle = float(fine.lat.mean())
    for label, longest, shortest, low, high in (
        ("300-30 km", 300, 30, -2.5, -2.0),
        ("30-15 km", 30, 15, -2.0, -1.4),
    ):
        value = slope(power, middle, fine.lon.size, longest, shortest)
        target = f"{low:g} to {high:g}" if label == "300-30 km" else "-5/3"
        rows.append(
            Row(f"slope of the west-east spectrum, {label}", f"{value:.1f}", target, low <= value <= high)
        )
    sigma = source_sigma(fine)
    rows.append(
        within("daily ln-sigma, median of the source boxes", float(np.median(list(sigma.values()))), 0.5, 0.7)
    )
    listed = ", ".join(f"{name} {value:.2f}" for name, value in sorted(sigma.items(), key=lambda kv: kv[1]))
    return [*rows, Row("daily ln-sigma, each source box", listed, "0.5-0.7"), *twin_rows(fine)]


def twin_rows(fine: Fine) -> list[Row]:
    """The coarse twin against A(fine), and the size of values."""
    operator = coarsening(fine.run.grid, fine.run.coarse)
    same, top = True, 0.0
    for truth, twin in fine.seasons:
        for day in range(0, truth.sizes["time"], 12):
            expected = operator(truth.DUEXTTAU[day].values).astype(np.float32)
            same &= bool(np.array_equal(expected, twin.DUEXTTAU[day].values))
        top = max(top, float(np.quantile(truth.DUEXTTAU[::8].values, 0.9999)))
    return [
        Row("coarse twin = A(fine), every 12th day", "same bits" if same else "differs", "same bits", same),
        within("storms: 99.99th percentile of AOD", top, 1.5, 4),
    ]


def record_rows(record: xr.Dataset) -> list[Row]:
    """Annual means and the months of most and least dust."""
    monthly = {name: months(record, *box) for name, box in REGIONS.items() if covers(record, *box)}
    targets = {
        "Taklamakan": (0.34, 0.26, 0.43, "0.34"),
        "Kuwait": (0.29, 0.22, 0.37, "0.27-0.32 (60-70 % of 0.45)"),
        "Gobi": (0.10, 0.07, 0.13, "0.10"),
    }
    rows = []
    for name, (_, low, high, text) in targets.items():
        if name in monthly:
            value = float(monthly[name].mean())
            rows.append(
                Row(
                    f"annual mean AOD, {name}",
                    f"{value:.2f}",
                    f"{text}, within a quarter",
                    low <= value <= high,
                )
            )
    for name, (text, met) in SEASONS.items():
        if name in monthly:
            m = monthly[name]
            measured = (
                f"most in month {argmax(m)} ({m.max():.2f}), least in month {argmax(-m)} ({m.min():.2f})"
            )
            rows.append(Row(f"season, {name}", measured, text, bool(met(m))))
    return rows


def covers(data: xr.Dataset, lat: tuple[float, float], lon: tuple[float, float]) -> bool:
    return bool(
        data.lat[0] <= lat[0] and lat[1] <= data.lat[-1] and data.lon[0] <= lon[0] and lon[1] <= data.lon[-1]
    )


def months(record: xr.Dataset, lat: tuple[float, float], lon: tuple[float, float]) -> NDArray[np.float64]:
    box = record.DUEXTTAU.sel(lat=slice(*lat), lon=slice(*lon)).load()
    mean = box.weighted(np.cos(np.deg2rad(box.lat))).mean(("lat", "lon"))
    month = record.time.dt.month.values
    return np.array([mean.values[month == m].mean(dtype=np.float64) for m in range(1, 13)])


def twin_and_record(fine: Fine, record: xr.Dataset) -> list[Row]:
    """The same climatology, other weather: in the calendar days that both have."""
    import xarray as xr

    twin = xr.concat([coarse.DUEXTTAU.load() for _, coarse in fine.seasons], "time")
    days = np.unique(twin.time.dt.dayofyear)
    other = record.DUEXTTAU.isel(time=np.isin(record.time.dt.dayofyear, days)).load()
    a, b = twin.mean("time").values, other.mean("time").values
    ratio, alike = float(b.mean() / a.mean()), float(np.corrcoef(np.log(a).ravel(), np.log(b).ravel())[0, 1])
    one, two = (deseasoned(x) for x in (twin, other))
    short = min(len(one), len(two))
    one, two = one[:short], two[:short]
    weather = float((one * two).mean() / np.sqrt((one**2).mean() * (two**2).mean()))
    return [
        within("record's seasonal mean over the twin's", ratio, 0.8, 1.25),
        Row("correlation of their log mean maps", f"{alike:.2f}", "> 0.9", alike > 0.9),
        Row(
            "correlation of their daily log anomalies",
            f"{weather:.2f}",
            "< 0.15 in size",
            abs(weather) < 0.15,
        ),
    ]


def deseasoned(da: xr.DataArray) -> NDArray[Any]:
    z = logarithm(da.values)
    (curve,) = curves([da.to_dataset(name="x")])
    return np.asarray(z - np.tensordot(curve, np.tensordot(curve.T, z, axes=1), axes=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fine", action="append", default=[], help="a store with the fine truth; repeatable")
    parser.add_argument("--record", help="a store of a year or more, coarse is enough")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seasons = [(open_fine(store), open_coarse(store)) for store in given.fine]
    rows = []
    if seasons or not given.record:
        fine = Fine(seasons or [to_datasets(SHORT)])
        rows += fine_rows(fine)
    if given.record:
        record = open_coarse(given.record)
        rows += record_rows(record)
        rows += twin_and_record(fine, record) if seasons else []
    print("| quantity | measured | target | met |\n|---|---|---|---|")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
