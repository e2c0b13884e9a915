"""Whether a downscaled field can be trusted: scores, spectra, seams, and all of it at once."""

from xdownscale.diagnostics.borders import seams
from xdownscale.diagnostics.evaluation import evaluate
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
from xdownscale.diagnostics.verification import scores
from xdownscale.diagnostics.wavenumber import band_ratio, power

__all__ = [
    "band_ratio",
    "bias",
    "crps",
    "evaluate",
    "mae",
    "power",
    "r2",
    "r2_corr",
    "rank_histogram",
    "rmse",
    "scores",
    "seams",
    "spectrum",
    "spread_skill",
]
