"""Power spectra and their ratio to the truth's, on logarithmic axes with the wavelength above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.plot.palette import GUIDE, TRUTH, colours

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["power_spectrum"]

_WIDTH = 4.6
_LEAST = 3


def power_spectrum(dataset: xr.Dataset) -> Figure:
    """Draw what `spectrum` found.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.spectrum`, or part of `evaluate`'s: dimensions `wavenumber`, and of `source`,
        `space` and `band` any that there are; the last two side by side.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. Below the spectra their ratio to the truth's, if there is one, the factor of
        two shaded and the prediction's effective resolution marked.

    Raises
    ------
    ValueError
        If there is no `power` along `wavenumber`, or it has other dimensions.

    Examples
    --------
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU
    >>> power_spectrum(dust.downscale.spectrum()).axes[0].get_xlabel()
    'wavenumber [cycles/km]'
    """
    from matplotlib.figure import Figure

    if "power" not in dataset or "wavenumber" not in dataset["power"].dims:
        raise ValueError(f"the dataset holds {sorted(map(str, dataset))}: expected `power` by `wavenumber`")
    other = set(dataset["power"].dims) - {"wavenumber", "source", "space", "band"}
    if other:
        raise ValueError(
            f"power has dimensions {sorted(map(str, other))} too: select one of each, or pool them"
        )
    panels = _panels(dataset)
    rows = 2 if "ratio" in dataset else 1
    figure = Figure(figsize=(_WIDTH * len(panels) + 0.6, 3.4 + 2.0 * (rows - 1)), layout="constrained")
    heights = [1.7, 1.0][:rows]
    axes = figure.subplots(rows, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=heights)
    for column, (title, panel) in enumerate(panels):
        _draw_power(axes[0, column], panel, title, first=column == 0)
        if rows == 2:
            _draw_ratio(axes[1, column], panel, first=column == 0)
        length = str(dataset["wavelength"].attrs.get("units", ""))
        axes[-1, column].set_xlabel(f"wavenumber [cycles/{length}]" if length else "wavenumber")
        above = axes[0, column].secondary_xaxis("top", functions=(_inverse, _inverse))
        above.set_xlabel(f"wavelength [{length}]" if length else "wavelength")
    return figure


def _panels(dataset: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    out = [("", dataset)]
    for dim in ("space", "band"):
        if dim in dataset.dims:
            out = [
                (", ".join(filter(None, (title, _title(dim, value)))), panel.sel({dim: value}))
                for title, panel in out
                for value in dataset[dim].values
            ]
    return out


def _title(dim: str, value: Any) -> str:
    return f"{value} space" if dim == "space" else f"{value:.3g} degrees north"


def _draw_power(axis: Axes, panel: xr.Dataset, title: str, *, first: bool) -> None:
    k = panel["wavenumber"].values
    if "truth_power" in panel:
        seen = panel["truth_power"]
        seen = seen.isel(source=0) if "source" in seen.dims else seen
        axis.loglog(k, _positive(seen), color=TRUTH, linewidth=2.0, label="truth")
    for name, colour, line in _lines(panel, "power"):
        axis.loglog(k, _positive(line), color=colour, linewidth=1.4, label=name)
    _keep_decades(axis, panel)
    axis.grid(color=GUIDE, alpha=0.25, linewidth=0.5)
    axis.set_title(title)
    if first:
        units = panel["power"].attrs.get("units", "")
        axis.set_ylabel(f"power density [{units}]" if units else "power density")
        if len(axis.lines) > 1:
            axis.legend(frameon=False, fontsize="small")


def _draw_ratio(axis: Axes, panel: xr.Dataset, *, first: bool) -> None:
    axis.axhspan(0.5, 2.0, color=GUIDE, alpha=0.15, linewidth=0)
    axis.axhline(1.0, color=TRUTH, linewidth=0.8)
    for name, colour, line in _lines(panel, "ratio"):
        axis.loglog(panel["wavenumber"].values, _positive(line), color=colour, linewidth=1.4)
        if "effective_resolution" in panel and name in ("prediction", ""):
            resolved = panel["effective_resolution"]
            resolved = resolved.sel(source=name) if "source" in resolved.dims else resolved
            if np.isfinite(resolved):
                axis.axvline(1 / float(resolved), color=colour, linestyle=":", linewidth=1.2)
    axis.set_ylim(0.02, 5.0)
    axis.grid(color=GUIDE, alpha=0.25, linewidth=0.5)
    if first:
        axis.set_ylabel("power over truth's")


def _lines(panel: xr.Dataset, key: str) -> list[tuple[str, str, xr.DataArray]]:
    if "source" not in panel.dims:
        return [("", colours(["prediction"])["prediction"], panel[key])]
    names = [str(n) for n in panel["source"].values]
    return [(n, colour, panel[key].sel(source=n)) for n, colour in colours(names).items()]


def _keep_decades(axis: Axes, panel: xr.Dataset) -> None:
    """An interpolation's spectrum falls to rounding: show what the truth spans, and a little below."""
    key = "truth_power" if "truth_power" in panel else "power"
    values = panel[key].values
    values = values[np.isfinite(values) & (values > 0)]
    if values.size >= _LEAST:
        axis.set_ylim(values.min() / 100, values.max() * 4)


def _positive(values: xr.DataArray) -> NDArray[np.float64]:
    numbers = np.asarray(values.values, dtype=np.float64)
    return np.where(numbers > 0, numbers, np.nan)


def _inverse(x: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.asarray(x, dtype=np.float64))
