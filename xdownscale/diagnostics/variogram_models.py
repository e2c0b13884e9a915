"""Models of semivariograms, fitted by scikit-gstat to exact bins.

A model is a nugget and one or more structures, "spherical+gaussian", each with a partial sill and a range
that is scikit-gstat's effective one: where a spherical structure reaches its sill, an exponential and a
stable one 95 % of it, a gaussian one 98 %, a matern one about 95 %. The fit is least squares on the
semivariance at the mean distance of each bin's pairs, weighted by N / h^2 as in R gstat; empty bins do not
count. It is made in units of the largest lag and semivariance, from several starts, for the optimum is
often not the only one.

scikit-gstat's own conventions would fit at the upper edges of the bins, and its export to GSTools takes the
nugget off the sill that is a partial sill already. What `to_skgstat` and `to_gstools` give does neither.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale._optional import require
from xdownscale.diagnostics.variogram_lags import EARTH_RADIUS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["MODELS", "Model", "fit_bins", "fitted_semivariance", "to_gstools", "to_skgstat"]

MODELS = ("spherical", "exponential", "gaussian", "matern", "stable")
_SHAPES = {"matern": (0.2, 20.0), "stable": (0.1, 2.0)}
_LONGEST = 2.0  # range, in longest lags
_HIGHEST = 10.0  # partial sill, in largest semivariances
_STARTS = (0.25, 0.6, 1.2)
_BOUND = 1e-3


@dataclass(frozen=True)
class Model:
    """Structures that add up, over a nugget.

    Attributes
    ----------
    structures : tuple of str
        Of `MODELS`.

    Examples
    --------
    >>> Model.parse("spherical + stable").size
    6
    """

    structures: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Model:
        """From names joined by "+"; ValueError at another name."""
        names = tuple(part.strip().lower() for part in str(text).split("+"))
        unknown = [name for name in names if name not in MODELS]
        if unknown:
            raise ValueError(
                f"model is {text!r}: expected one of {list(MODELS)}, some joined by '+', or None for no fit"
            )
        return cls(names)

    @property
    def name(self) -> str:
        """As scikit-gstat has it."""
        return "+".join(self.structures)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return 1 + sum(3 if name in _SHAPES else 2 for name in self.structures)

    def unpack(self, cof: NDArray[np.float64]) -> NDArray[np.float64]:
        """Range, partial sill and shape (NaN if it has none) of each structure, shape (k, 3)."""
        out = np.full((len(self.structures), 3), np.nan)
        place = 0
        for k, name in enumerate(self.structures):
            width = 3 if name in _SHAPES else 2
            out[k, :width] = cof[place : place + width]
            place += width
        return out

    def pack(self, structures: NDArray[np.float64], nugget: float) -> NDArray[np.float64]:
        """Parameters in scikit-gstat's order; the inverse of `unpack`."""
        flat = np.asarray(structures, dtype=np.float64).ravel()
        return np.append(flat[np.isfinite(flat)], nugget)

    def limits(self, nearest: float, reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper bounds of the parameters, semivariances at most 1."""
        low, high = np.zeros((2, len(self.structures), 3))
        for k, name in enumerate(self.structures):
            shape = _SHAPES.get(name, (np.nan, np.nan))
            low[k] = nearest / 2, 0.0, shape[0]
            high[k] = _LONGEST * reach, _HIGHEST, shape[1]
        return self.pack(low, 0.0), self.pack(high, 1.0)

    def starts(self, reach: float, nugget: float) -> list[NDArray[np.float64]]:
        """First guesses, with ranges side by side where there are several structures."""
        count = len(self.structures)
        guesses = []
        for share in _STARTS:
            guess = np.full((count, 3), np.nan)
            for k, name in enumerate(self.structures):
                guess[k, :2] = share * reach * (k + 1) / count, (1.0 - nugget) / count
                guess[k, 2] = 1.0 if name in _SHAPES else np.nan
            guesses.append(self.pack(guess, nugget))
        return guesses


def fit_bins(
    distance: NDArray[np.float64],
    semivariance: NDArray[np.float64],
    pairs: NDArray[np.float64],
    *,
    model: Model,
    reach: float,
    quiet: bool = False,
) -> NDArray[np.float64]:
    """Fit a model to bins.

    Parameters
    ----------
    distance, semivariance, pairs : ndarray, shape (n,)
        Of the bins; those without pairs are dropped.
    model : Model
    reach : float, > 0
        Longest lag.
    quiet : bool
        Do not warn where there is no fit.

    Returns
    -------
    ndarray, shape (2 + 4 k,)
        Nugget, root mean square of the residuals, then range, partial sill, shape and whether the range is
        at a bound (0 or 1) of each structure. NaN where the bins allow no fit: a constant field, or fewer
        bins than parameters.
    """
    full = (pairs > 0) & (distance > 0) & np.isfinite(semivariance)
    h, gamma, n = distance[full], semivariance[full], pairs[full]
    none = np.full(2 + 4 * len(model.structures), np.nan)
    why = _unfit(h, gamma, model)
    if why:
        if not quiet:
            warnings.warn(f"no model was fitted: {why}", UserWarning, stacklevel=2)
        return none
    cof = _least_squares(h / h.max(), gamma / gamma.max(), n, model, reach / h.max())
    if cof is None:
        if not quiet:
            warnings.warn("no model was fitted: the fit did not converge", UserWarning, stacklevel=2)
        return none
    return _rated(cof, h, gamma, model, reach)


def fitted_semivariance(variogram: xr.Dataset, distance: Any) -> NDArray[np.float64]:
    """Semivariance of the fitted model.

    Parameters
    ----------
    variogram : Dataset
        Of `semivariogram`, a single one.
    distance : array-like, shape (n,), > 0 [units of the lags]

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If there are several variograms, or none was fitted.
    """
    model, cof = _fitted(variogram)
    return _curve(model, np.atleast_1d(np.asarray(distance, dtype=np.float64)), cof)


def to_skgstat(variogram: xr.Dataset) -> Any:
    """Hand a semivariogram to scikit-gstat.

    Parameters
    ----------
    variogram : Dataset
        Of `semivariogram`, a single one with a fit.

    Returns
    -------
    skgstat.Variogram
        Its `bins` are mean distances, its `experimental`, `bin_count` and fit those of the Dataset; another
        `model` is fitted to the same bins. `coordinates` and `values` are a transect that stands for the
        cells, which are not kept.

    Raises
    ------
    ValueError
        If there are several variograms, or none was fitted.
    """
    model, cof = _fitted(variogram)
    full = variogram.pairs.values > 0
    columns = (variogram[name].values[full] for name in ("distance", "semivariance", "pairs"))
    return _exact()(*columns, model.name, cof, _geographic(variogram))


def to_gstools(variogram: xr.Dataset) -> Any:
    """Hand the fitted model to GSTools.

    Parameters
    ----------
    variogram : Dataset
        Of `semivariogram`, a single one with a fit.

    Returns
    -------
    gstools.CovModel
        Its variance is the partial sill. Of fields on the sphere it is `latlon`, with lengths in km.

    Raises
    ------
    ImportError
        If GSTools is not installed.
    ValueError
        If there are several variograms, or none was fitted.
    """
    model, cof = _fitted(variogram)
    return _covariance(model, cof, _geographic(variogram))


def _unfit(h: NDArray[np.float64], gamma: NDArray[np.float64], model: Model) -> str:
    if h.size == 0:
        return "there are no pairs of valid cells within the lags"
    if gamma.max() <= 0:
        return "the field is constant"
    if h.size < model.size:
        return f"{h.size} bins with pairs, {model.size} parameters of {model.name!r}"
    return ""


def _least_squares(
    h: NDArray[np.float64], gamma: NDArray[np.float64], n: NDArray[np.float64], model: Model, reach: float
) -> NDArray[np.float64] | None:
    """Parameters of the best of several fits, in units of h and gamma."""
    sigma = h / np.sqrt(n)
    sigma = sigma / sigma.mean()
    slope = (gamma[1] - gamma[0]) / (h[1] - h[0])
    nugget = float(np.clip(gamma[0] - slope * h[0], 0.02, 0.9))
    low, high = model.limits(h.min(), reach)
    best, least = None, np.inf
    for start in model.starts(reach, nugget):
        cof = _fit_once(
            h, gamma, sigma, model, np.clip(start, low * (1 + 1e-6), high * (1 - 1e-6)), (low, high)
        )
        if cof is None:
            continue
        cost = float((((_curve(model, h, cof) - gamma) / sigma) ** 2).sum())
        if cost < least:
            best, least = cof, cost
    return best


def _fit_once(
    h: NDArray[np.float64],
    gamma: NDArray[np.float64],
    sigma: NDArray[np.float64],
    model: Model,
    start: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64] | None:
    variogram = _exact()(h, gamma, np.ones_like(h), model.name, start, False)
    tight = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 2000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            variogram.fit(sigma=sigma, bounds=bounds, p0=start, **tight)
        except (RuntimeError, ValueError, FloatingPointError):
            return None
    cof = np.asarray(variogram.cof, dtype=np.float64)
    return cof if np.isfinite(cof).all() else None


def _rated(
    cof: NDArray[np.float64],
    h: NDArray[np.float64],
    gamma: NDArray[np.float64],
    model: Model,
    reach: float,
) -> NDArray[np.float64]:
    """The fit in the units of the field, with its error and ranges at their bounds."""
    structures = model.unpack(cof) * [h.max(), gamma.max(), 1.0]
    nugget = cof[-1] * gamma.max()
    low, high = h.min() / 2, _LONGEST * reach
    span, sill = structures[:, 0], structures[:, 1]
    at_bound = (span <= low * (1 + _BOUND)) | (span >= high * (1 - _BOUND)) | (sill <= 1e-6 * gamma.max())
    residual = _curve(model, h, model.pack(structures, nugget)) - gamma
    rmse = np.sqrt((residual**2).mean())
    return np.concatenate([[nugget, rmse], np.column_stack([structures, at_bound]).ravel()])


def _curve(model: Model, h: NDArray[np.float64], cof: NDArray[np.float64]) -> NDArray[np.float64]:
    from skgstat import models

    total = np.full(h.shape, cof[-1])
    for name, own in zip(model.structures, model.unpack(cof), strict=True):
        total = total + getattr(models, name)(h, *own[np.isfinite(own)])
    return np.asarray(total)


def _fitted(variogram: xr.Dataset) -> tuple[Model, NDArray[np.float64]]:
    if "nugget" not in variogram:
        raise ValueError("the Dataset holds no fit: call semivariogram with a model")
    if variogram.nugget.ndim:
        pick = {str(d): 0 for d in variogram.nugget.dims}
        raise ValueError(
            f"there are several variograms, along {list(pick)}: choose one, for example ds.isel({pick})"
        )
    model = Model.parse(variogram.attrs["model"])
    shape = variogram["shape"] if "shape" in variogram else variogram["range"] * np.nan
    parts = (np.atleast_1d(v.values) for v in (variogram["range"], variogram.partial_sill, shape))
    cof = model.pack(np.stack(list(parts), axis=-1), float(variogram.nugget))
    if cof.size != model.size or not np.isfinite(cof).all():
        raise ValueError("no model was fitted to this semivariogram: its parameters are NaN")
    return model, cof


def _geographic(variogram: xr.Dataset) -> bool:
    return "earth_radius" in variogram.attrs


def _covariance(model: Model, cof: NDArray[np.float64], geographic: bool) -> Any:
    gs = require("gstools", extra="gstools", purpose="to_gstools")
    options: dict[str, Any] = {"latlon": True, "geo_scale": EARTH_RADIUS} if geographic else {"dim": 2}
    rescale = {"spherical": 1.0, "exponential": 3.0, "gaussian": 2.0, "matern": 4.0}
    parts = []
    for name, (span, sill, shape) in zip(model.structures, model.unpack(cof), strict=True):
        own = {"matern": {"nu": shape}, "stable": {"alpha": shape}}.get(name, {})
        scale = 3 ** (1 / shape) if name == "stable" else rescale[name]
        kind = getattr(gs, name.capitalize())
        parts.append(kind(var=sill, len_scale=span, rescale=scale, **own, **options))
    if len(parts) > 1:
        return gs.covmodel.SumModel(*parts, nugget=cof[-1])
    parts[0].nugget = cof[-1]
    return parts[0]


@cache
def _exact() -> Any:
    """The class of scikit-gstat variograms whose bins are given; made on first use: its import is slow."""
    from skgstat import Variogram

    class ExactVariogram(Variogram):  # type: ignore[misc]
        """A `skgstat.Variogram` of known bins."""

        def __init__(
            self,
            distance: NDArray[np.float64],
            semivariance: NDArray[np.float64],
            pairs: NDArray[np.float64],
            model: str,
            cof: NDArray[np.float64],
            geographic: bool,
        ) -> None:
            self._given = distance, semivariance, pairs, model, cof, geographic
            transect = np.append(0.0, distance), np.append(0.0, np.sqrt(2 * np.abs(semivariance)))
            super().__init__(
                *transect, model=model, use_nugget=True, bin_func=np.array(distance), fit_method=None
            )
            self.fit_method = "trf"
            self.fit_sigma = distance / np.sqrt(pairs)
            self.cof = np.array(cof)

        @property
        def _experimental(self) -> NDArray[np.float64]:
            return np.array(self._given[1])

        @property
        def bin_count(self) -> NDArray[np.int64]:
            return np.asarray(self._given[2], dtype=np.int64)

        def lag_classes(self) -> Any:
            _, gamma, pairs, *_ = self._given
            for value, count in zip(gamma, pairs, strict=True):
                yield np.broadcast_to(np.sqrt(2 * value), (int(count),))

        def preprocessing(self, force: bool = False) -> None:
            """Nothing is to be prepared: the bins are given."""

        def to_gstools(self, **_: Any) -> Any:
            """Convert to a GSTools model that has the partial sill as its variance."""
            return _covariance(Model.parse(self._model_name), np.asarray(self.cof), self._given[5])

        def __reduce__(self) -> Any:
            return _restored, (*self._given[:3], self._model_name, np.asarray(self.cof), self._given[5])

    return ExactVariogram


def _restored(*given: Any) -> Any:
    return _exact()(*given)
