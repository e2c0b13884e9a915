"""Figures of fields and of what is measured on them."""

from xdownscale.plot.maps import overview
from xdownscale.plot.variogram import semivariogram

__all__ = ["overview", "semivariogram"]
