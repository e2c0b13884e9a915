"""Methods that measure a field: the functions of :mod:`xdownscale.diagnostics`, bound to an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    import xarray as xr

    from xdownscale.diagnostics.comparison import Normalize
    from xdownscale.diagnostics.lags import Deseason, Reduce
    from xdownscale.diagnostics.sources import Baselines
    from xdownscale.diagnostics.spectra import Direction
    from xdownscale.diagnostics.support import Support
    from xdownscale.diagnostics.tally import Space
    from xdownscale.diagnostics.wavenumber import Detrend, Taper
    from xdownscale.grid import Grid
    from xdownscale.patches import Tiling
    from xdownscale.scaling import Scaling

__all__ = ["Measuring"]


class Measuring:
    """Diagnostics of the field that an accessor holds."""

    _obj: xr.DataArray | xr.Dataset

    @property
    def _field(self) -> xr.DataArray:
        """The array, or the one variable of the Dataset."""
        import xarray as xr

        if isinstance(self._obj, xr.DataArray):
            return self._obj
        from xdownscale.cf import only_variable

        return only_variable(self._obj)

    def semivariogram(
        self,
        *,
        lags: int | Sequence[float] | None = None,
        max_lag: float | None = None,
        directions: Sequence[float] | None = None,
        pool: str | Sequence[str] = ("time", "realization"),
        estimator: Literal["matheron", "cressie", "dowd", "genton"] = "matheron",
        model: str | None = "spherical",
        weights: Literal["area"] | xr.DataArray | None = None,
        method: Literal["auto", "exact", "sampled"] = "auto",
        intervals: int = 0,
        seed: int = 0,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Semivariogram of the field, with a fitted model; see :func:`xdownscale.diagnostics.semivariogram`.

        Parameters
        ----------
        lags, max_lag, directions, pool, estimator, model, weights, method, intervals, seed, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dust.downscale.semivariogram(lags=3, max_lag=300, model=None).semivariance.dims
        ('lag',)
        """
        from xdownscale.diagnostics.variogram import semivariogram

        return semivariogram(
            self._field,
            lags=lags,
            max_lag=max_lag,
            directions=directions,
            pool=pool,
            estimator=estimator,
            model=model,
            weights=weights,
            method=method,
            intervals=intervals,
            seed=seed,
            dims=dims,
        )

    def wasserstein(
        self,
        other: xr.DataArray,
        *,
        normalize: Normalize | None = None,
        transform: Literal["log10"] | Scaling | None = None,
        per: Literal["time"] | None = None,
        given: xr.DataArray | None = None,
        bins: int = 10,
        weights: Literal["area"] | xr.DataArray | None = "area",
        support: Support = "native",
        null: int = 0,
        block: int | None = None,
        seed: int = 0,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Wasserstein distance from another field; see :func:`xdownscale.diagnostics.wasserstein`.

        Parameters
        ----------
        other : DataArray
        normalize, transform, per, given, bins, weights, support, null, block, seed, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> float((dust + 1).downscale.wasserstein(dust).w1.round(5))
        1.0
        """
        from xdownscale.diagnostics.distance import wasserstein

        return wasserstein(
            self._field,
            other,
            normalize=normalize,
            transform=transform,
            per=per,
            given=given,
            bins=bins,
            weights=weights,
            support=support,
            null=null,
            block=block,
            seed=seed,
            dims=dims,
        )

    def acf(
        self,
        nlags: int,
        *,
        reduce: Reduce = "pixel",
        deseason: Deseason | None = None,
        adjusted: bool = False,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Autocorrelation in time; see :func:`xdownscale.diagnostics.acf`.

        Parameters
        ----------
        nlags : int
        reduce, deseason, adjusted, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dust.downscale.acf(2, reduce="mean").acf.sizes["lag"]
        3
        """
        from xdownscale.diagnostics.correlogram import acf

        return acf(self._field, nlags, reduce=reduce, deseason=deseason, adjusted=adjusted, dims=dims)

    def pacf(
        self,
        nlags: int,
        *,
        reduce: Reduce = "pixel",
        deseason: Deseason | None = None,
        adjusted: bool = False,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Partial autocorrelation in time; see :func:`xdownscale.diagnostics.pacf`.

        Parameters
        ----------
        nlags : int
        reduce, deseason, adjusted, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dust.downscale.pacf(2, reduce="mean").pacf.sizes["lag"]
        3
        """
        from xdownscale.diagnostics.correlogram import pacf

        return pacf(self._field, nlags, reduce=reduce, deseason=deseason, adjusted=adjusted, dims=dims)

    def lag_curves(
        self,
        nlags: int,
        *,
        reduce: Reduce = "pooled",
        deseason: Deseason | None = None,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """How well a field foretells itself, by lag; see :func:`xdownscale.diagnostics.lag_curves`.

        Parameters
        ----------
        nlags : int
        reduce, deseason, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> curves = dust.downscale.lag_curves(2)
        >>> bool(curves.rmse[1] > curves.rmse[0])
        True
        """
        from xdownscale.diagnostics.correlogram import lag_curves

        return lag_curves(self._field, nlags, reduce=reduce, deseason=deseason, dims=dims)

    def spectrum(
        self,
        *,
        truth: xr.DataArray | None = None,
        direction: Direction = "auto",
        bands: int | Sequence[float] | None = None,
        detrend: Detrend = "linear",
        taper: Taper = "hann",
        pool: Sequence[Hashable] = ("time", "realization"),
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Power by physical wavenumber; see :func:`xdownscale.diagnostics.spectrum`.

        Parameters
        ----------
        truth, direction, bands, detrend, taper, pool, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dust.downscale.spectrum().power.dims
        ('wavenumber',)
        """
        from xdownscale.diagnostics.spectra import spectrum

        return spectrum(
            self._field,
            truth=truth,
            direction=direction,
            bands=bands,
            detrend=detrend,
            taper=taper,
            pool=pool,
            dims=dims,
        )

    def scores(
        self,
        truth: xr.DataArray,
        *,
        coarse: xr.DataArray | None = None,
        baselines: Baselines = (),
        thresholds: Sequence[float] = (),
        quantiles: Sequence[float] = (),
        windows: Sequence[int] = (),
        space: Space | Sequence[Space] = "linear",
        floor: float = 0.001,
        intervals: int = 0,
        block: float = 5,
        seed: int = 0,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Scores against a truth, beside those of baselines; see :func:`xdownscale.diagnostics.scores`.

        Parameters
        ----------
        truth : DataArray
        coarse, baselines, thresholds, quantiles, windows, space, floor, intervals, block, seed, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> float((2 * dust).downscale.scores(dust, quantiles=[0.9]).quantile_ratio.round(3).squeeze())
        2.0
        """
        from xdownscale.diagnostics.verification import scores

        return scores(
            self._field,
            truth,
            coarse=coarse,
            baselines=baselines,
            thresholds=thresholds,
            quantiles=quantiles,
            windows=windows,
            space=space,
            floor=floor,
            intervals=intervals,
            block=block,
            seed=seed,
            dims=dims,
        )

    def seams(
        self,
        *,
        tiling: Tiling | None = None,
        borders: Mapping[str, Sequence[float]] | None = None,
        lattice: Grid | None = None,
        width: int | None = None,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """Whether the borders of patches can be seen; see :func:`xdownscale.diagnostics.seams`.

        Parameters
        ----------
        tiling, borders, lattice, width, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dust.downscale.seams(borders={"lon": [50.3]}).borders.sel(axis="lon").item()
        1
        """
        from xdownscale.diagnostics.borders import seams

        return seams(self._field, tiling=tiling, borders=borders, lattice=lattice, width=width, dims=dims)

    def evaluate(
        self,
        truth: xr.DataArray,
        coarse: xr.DataArray | None = None,
        *,
        baselines: Baselines | None = None,
        thresholds: Sequence[float] | None = None,
        quantiles: Sequence[float] = (0.5, 0.9, 0.95, 0.99, 0.999),
        windows: Sequence[int] = (1, 9, 33),
        floor: float = 0.001,
        tiling: Tiling | None = None,
        intervals: int = 0,
        block: float = 5,
        seed: int = 0,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.Dataset:
        """All diagnostics against a truth at once; see :func:`xdownscale.diagnostics.evaluate`.

        Parameters
        ----------
        truth, coarse : DataArray
        baselines, thresholds, quantiles, windows, floor, tiling, intervals, block, seed, dims
            As for the function.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> found = (1.1 * dust).downscale.evaluate(dust)
        >>> float(found.bias.sel(space="linear").squeeze().round(3))
        0.027
        """
        from xdownscale.diagnostics.evaluation import evaluate

        return evaluate(
            self._field,
            truth,
            coarse,
            baselines=baselines,
            thresholds=thresholds,
            quantiles=quantiles,
            windows=windows,
            floor=floor,
            tiling=tiling,
            intervals=intervals,
            block=block,
            seed=seed,
            dims=dims,
        )

    def report(
        self,
        path: str | os.PathLike[str],
        truth: xr.DataArray,
        coarse: xr.DataArray | None = None,
        *,
        baselines: Baselines | None = None,
        intervals: int = 0,
        title: str = "Evaluation of a downscaled field",
        overwrite: bool = False,
    ) -> Path:
        """Evaluate against a truth and write one page of HTML; see :func:`xdownscale.report.report`.

        Parameters
        ----------
        path : path
            Of the HTML page.
        truth, coarse, baselines, intervals
            As for `evaluate`.
        title, overwrite
            As for the function.

        Returns
        -------
        Path

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> path = (1.1 * dust).downscale.report(Path(mkdtemp()) / "page.html", dust)
        >>> path.name
        'page.html'
        """
        from xdownscale.diagnostics.evaluation import evaluate
        from xdownscale.plot.evaluation import figures
        from xdownscale.report import report

        found = evaluate(self._field, truth, coarse, baselines=baselines, intervals=intervals)
        drawn = figures(found, prediction=self._field, truth=truth, coarse=coarse)
        return report(found, path, figures=drawn, title=title, overwrite=overwrite)
