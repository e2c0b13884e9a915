"""A DataArray understood, and given back."""

from xdownscale.cf.discover import Axes, discover

__all__ = ["Axes", "discover"]
