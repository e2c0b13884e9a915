"""Whether a downscaled field can be trusted: scores, spectra, seams, and all of it at once."""

from xdownscale.diagnostics.borders import seams
from xdownscale.diagnostics.correlogram import acf, effective_sample_size, lag_curves, pacf
from xdownscale.diagnostics.distance import wasserstein
from xdownscale.diagnostics.evaluation import evaluate
from xdownscale.diagnostics.rollout import drift
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
from xdownscale.diagnostics.spectra import spectrum
from xdownscale.diagnostics.variogram import (
    compare_semivariograms,
    fitted_semivariance,
    semivariogram,
    to_gstools,
    to_skgstat,
)
from xdownscale.diagnostics.verification import scores
from xdownscale.diagnostics.wavenumber import band_ratio, power

__all__ = [
    "acf",
    "band_ratio",
    "bias",
    "compare_semivariograms",
    "crps",
    "drift",
    "effective_sample_size",
    "evaluate",
    "fitted_semivariance",
    "lag_curves",
    "mae",
    "pacf",
    "power",
    "r2",
    "r2_corr",
    "rank_histogram",
    "rmse",
    "scores",
    "seams",
    "semivariogram",
    "spectrum",
    "spread_skill",
    "to_gstools",
    "to_skgstat",
    "wasserstein",
]
