"""Regular grids and the exact operators between them."""

from xdownscale.grid.axes import G5NR, MERRA2, Axis, Grid, covered, factor, refined
from xdownscale.grid.operators import (
    INTERPOLATIONS,
    Method,
    Separable,
    coarsening,
    conservative_matrix,
    interpolation_matrix,
    upsampling,
)

__all__ = [
    "G5NR",
    "INTERPOLATIONS",
    "MERRA2",
    "Axis",
    "Grid",
    "Method",
    "Separable",
    "coarsening",
    "conservative_matrix",
    "covered",
    "factor",
    "interpolation_matrix",
    "refined",
    "upsampling",
]
