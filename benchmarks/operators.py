"""The exact conservative operator on a global field against the same operator as one sparse matrix."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from measure import alternate
from record import Figure, Result
from scipy import sparse

from xdownscale.grid import G5NR, MERRA2, coarsening, refined


def conservative(asked: Any) -> Result:
    """Coarse means of a global field of 0.0625 degree: by rows and columns, and by one product."""
    target = MERRA2.window((150, 40), (200, 50)) if asked.small else MERRA2
    source = refined(target, G5NR)
    operator = coarsening(source, target)
    matrix = sparse.kron(operator.y, operator.x, format="csr")
    field = np.random.default_rng(0).gamma(2.0, 0.15, source.shape)
    jobs = {"ours": partial(operator, field), "sparse": partial(_product, matrix, field, target.shape)}
    rounds = 2 if asked.small else 7
    seconds = alternate(jobs, rounds)
    own, other = (job() for job in jobs.values())
    worst = float(np.abs(own / other - 1).max())
    figures = (
        Figure.faster(
            "processor time", seconds["ours"], seconds["sparse"], "one scipy.sparse product", at_least=1.0
        ),
        Figure("largest relative difference of the results", "difference", worst, at_most=1e-12),
    )
    sizes = f"{source.shape[0]} x {source.shape[1]} cells to {target.shape[0]} x {target.shape[1]}"
    entries = f"{matrix.nnz / 1e6:.1f} million entries"
    return Result(figures, rounds, (f"{sizes}; the matrix, of {entries}, is built beforehand.",))


def _product(matrix: Any, field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return (matrix @ field.ravel()).reshape(shape)
