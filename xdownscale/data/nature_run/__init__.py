"""A physical simulator of dust, so that everything works, is taught and is tested with no download."""

from xdownscale.data.nature_run.simulate import ASIA, Day, NatureRun, State, simulate
from xdownscale.data.nature_run.store import open_coarse, open_fine, to_datasets, write

__all__ = [
    "ASIA",
    "Day",
    "NatureRun",
    "State",
    "open_coarse",
    "open_fine",
    "simulate",
    "to_datasets",
    "write",
]
