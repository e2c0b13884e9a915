"""A DataArray understood, and given back."""

from xdownscale.cf.coarsening import coarsen
from xdownscale.cf.discover import Axes, discover
from xdownscale.cf.orientation import Orientation
from xdownscale.cf.template import build, orientation, to_dataset
from xdownscale.cf.understand import Field, check_bounds, only_variable, understand

__all__ = [
    "Axes",
    "Field",
    "Orientation",
    "build",
    "check_bounds",
    "coarsen",
    "discover",
    "only_variable",
    "orientation",
    "to_dataset",
    "understand",
]
