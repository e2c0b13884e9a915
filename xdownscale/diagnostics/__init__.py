"""Whether a downscaled field can be trusted: scores and spectra."""

from xdownscale.diagnostics.correlogram import acf, effective_sample_size, lag_curves, pacf
from xdownscale.diagnostics.distance import wasserstein
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
from xdownscale.diagnostics.spectrum import band_ratio, power

__all__ = [
    "acf",
    "band_ratio",
    "bias",
    "crps",
    "drift",
    "effective_sample_size",
    "lag_curves",
    "mae",
    "pacf",
    "power",
    "r2",
    "r2_corr",
    "rank_histogram",
    "rmse",
    "spread_skill",
    "wasserstein",
]
