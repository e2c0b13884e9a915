"""Models of semivariograms, and the ways to scikit-gstat and GSTools.

A model is a nugget and one or more structures, "spherical+gaussian", each with a partial sill and a range
that is scikit-gstat's effective one: where a spherical structure reaches its sill, an exponential and a
stable one 95 % of it, a gaussian one 98 %, a matern one about 95 %.

scikit-gstat's own conventions would fit at the upper edges of the bins, and its export to GSTools takes the
nugget off the sill that is a partial sill already. What `to_skgstat` and `to_gstools` give does neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale._optional import require
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = [
    "MODELS",
    "SHAPES",
    "Model",
    "curve",
    "exact_variogram",
    "fitted_semivariance",
    "to_gstools",
    "to_skgstat",
]

MODELS = ("spherical", "exponential", "gaussian", "matern", "stable")
SHAPES = {"matern": (0.2, 20.0), "stable": (0.1, 2.0)}


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
        return 1 + sum(3 if name in SHAPES else 2 for name in self.structures)

    def unpack(self, cof: NDArray[np.float64]) -> NDArray[np.float64]:
        """Range, partial sill and shape (NaN if it has none) of each structure, shape (k, 3)."""
        out = np.full((len(self.structures), 3), np.nan)
        place = 0
        for k, name in enumerate(self.structures):
            width = 3 if name in SHAPES else 2
            out[k, :width] = cof[place : place + width]
            place += width
        return out

    def pack(self, structures: NDArray[np.float64], nugget: float) -> NDArray[np.float64]:
        """Parameters in scikit-gstat's order; the inverse of `unpack`."""
        flat = np.asarray(structures, dtype=np.float64).ravel()
        return np.append(flat[np.isfinite(flat)], nugget)


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

    Examples
    --------
    >>> import xdownscale
    >>> from xdownscale.diagnostics import semivariogram
    >>> dust = xdownscale.open_sample().DUEXTTAU
    >>> found = semivariogram(dust, max_lag=600)
    >>> bool(abs(fitted_semivariance(found, 1e4) / found.sill.item() - 1) < 1e-9)  # beyond the range
    True
    """
    model, cof = _fitted(variogram)
    return curve(model, np.atleast_1d(np.asarray(distance, dtype=np.float64)), cof)


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

    Examples
    --------
    >>> import xdownscale
    >>> from xdownscale.diagnostics import semivariogram
    >>> dust = xdownscale.open_sample().DUEXTTAU
    >>> found = semivariogram(dust, max_lag=600)
    >>> bool(np.allclose(to_skgstat(found).experimental, found.semivariance))
    True
    """
    model, cof = _fitted(variogram)
    full = variogram.pairs.values > 0
    columns = (variogram[name].values[full] for name in ("distance", "semivariance", "pairs"))
    return exact_variogram()(*columns, model.name, cof, _geographic(variogram))


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

    Examples
    --------
    >>> import xdownscale
    >>> from xdownscale.diagnostics import semivariogram
    >>> dust = xdownscale.open_sample().DUEXTTAU
    >>> found = semivariogram(dust, max_lag=600)
    >>> bool(np.isclose(to_gstools(found).var, found.partial_sill))
    True
    """
    model, cof = _fitted(variogram)
    return _covariance(model, cof, _geographic(variogram))


def curve(model: Model, h: NDArray[np.float64], cof: NDArray[np.float64]) -> NDArray[np.float64]:
    """Semivariance of a model, by scikit-gstat's functions.

    Parameters
    ----------
    model : Model
    h : ndarray, shape (n,), > 0
    cof : ndarray, shape (model.size,)

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> curve(Model.parse("spherical"), np.array([5.0, 10.0, 20.0]), np.array([10.0, 2.0, 0.5]))
    array([1.875, 2.5  , 2.5  ])
    """
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
def exact_variogram() -> Any:
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
    return exact_variogram()(*given)
