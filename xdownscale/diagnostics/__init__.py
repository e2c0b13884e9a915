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
from xdownscale.diagnostics.wavenumber import band_ratio, power

__all__ = [
    "band_ratio",
    "bias",
    "crps",
    "mae",
    "power",
    "r2",
    "r2_corr",
    "rank_histogram",
    "rmse",
    "spread_skill",
]
