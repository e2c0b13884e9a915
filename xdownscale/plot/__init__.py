"""Figures."""

from xdownscale.plot.maps import overview

__all__ = ["overview"]
