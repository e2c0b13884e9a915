"""Semivariograms: exact on rasters, sampled elsewhere, with fitted models."""

from xdownscale.diagnostics.variogram.empirical import compare_semivariograms, semivariogram
from xdownscale.diagnostics.variogram.models import fitted_semivariance, to_gstools, to_skgstat

__all__ = ["compare_semivariograms", "fitted_semivariance", "semivariogram", "to_gstools", "to_skgstat"]
