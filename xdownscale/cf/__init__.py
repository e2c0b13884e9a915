"""A DataArray understood, and given back."""

from xdownscale.cf.discover import Axes, discover
from xdownscale.cf.template import build, to_dataset
from xdownscale.cf.understand import Field, understand

__all__ = ["Axes", "Field", "build", "discover", "to_dataset", "understand"]
