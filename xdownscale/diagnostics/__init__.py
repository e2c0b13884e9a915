"""Whether a downscaled field can be trusted: scores and spectra."""

from xdownscale.diagnostics.skill import (
    bias,
    crps,
    mae,
    r2,
    r2_corr,
    rank_histogram,
    rmse,
    spread_skill,
)
from xdownscale.diagnostics.spectrum import band_ratio, power
from xdownscale.diagnostics.variogram import compare_semivariograms, semivariogram
from xdownscale.diagnostics.variogram_models import fitted_semivariance, to_gstools, to_skgstat

__all__ = [
    "band_ratio",
    "bias",
    "compare_semivariograms",
    "crps",
    "fitted_semivariance",
    "mae",
    "power",
    "r2",
    "r2_corr",
    "rank_histogram",
    "rmse",
    "semivariogram",
    "spread_skill",
    "to_gstools",
    "to_skgstat",
]
