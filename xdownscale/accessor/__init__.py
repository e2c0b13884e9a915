"""``DataArray.downscale``: the package's functions, bound to an array.

Nothing is decided here: a method hands its arguments on, and the accessor keeps nothing but the array. The
methods that draw are in `drawing`, those that measure in `measuring`.
"""

from xdownscale.accessor.drawing import DownscaleAccessor

__all__ = ["DownscaleAccessor"]
