"""Figures of fields and of what is measured on them; nothing is attached to pyplot."""

from xdownscale.plot.correlogram import autocorrelations, persistence
from xdownscale.plot.day import beside
from xdownscale.plot.distance import quantiles
from xdownscale.plot.maps import fields, overview
from xdownscale.plot.ranks import rank_histogram
from xdownscale.plot.scores import errors, neighbourhoods, quantile_ratios
from xdownscale.plot.spectrum import power_spectrum
from xdownscale.plot.variogram import compared, semivariogram

__all__ = [
    "autocorrelations",
    "beside",
    "compared",
    "errors",
    "fields",
    "neighbourhoods",
    "overview",
    "persistence",
    "power_spectrum",
    "quantile_ratios",
    "quantiles",
    "rank_histogram",
    "semivariogram",
]
