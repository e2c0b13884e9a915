"""Figures, as matplotlib draws them; nothing is attached to pyplot."""

from xdownscale.plot.maps import overview

__all__ = ["overview"]
