"""One thread everywhere, before numpy loads its BLAS: tests time and reproduce alike on any machine.

Small models of random weights, and records with known answers: smooth fields that are carried eastward.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr

from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined
from xdownscale.noise import Spectrum, shaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.models.card import Card
    from xdownscale.models.downscaler import Downscaler

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder of real granules (`XDOWNSCALE_TEST_DATA`, else ../shared/data beside the checkout), or skip."""
    default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = pathlib.Path(os.environ.get("XDOWNSCALE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist (set XDOWNSCALE_TEST_DATA)")
    return folder


@pytest.fixture
def make_card() -> Callable[..., Card]:
    """A small, sound card; keywords replace fields."""
    from xdownscale.grid import G5NR, MERRA2
    from xdownscale.models.card import Card
    from xdownscale.noise import Spectrum
    from xdownscale.scaling import Log

    def make(**changes: Any) -> Card:
        content: dict[str, Any] = {
            "name": "tiny",
            "version": "1.2",
            "licence": "Apache-2.0",
            "authors": ("A. Author", "B. Author"),
            "created": "2026-01-31",
            "variable": "DUEXTTAU",
            "long_name": "dust optical thickness",
            "standard_name": "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles",
            "units": "1",
            "wavelength_nm": 550.0,
            "value_range": (0.0, 6.0),
            "scaling": Log(floor=1e-3, mean=-2.0, std=1.5).to_dict(),
            "coarse": MERRA2.to_dict(),
            "fine": G5NR.to_dict(),
            "region": {"lat": [10.0, 56.0], "lon": [34.0, 135.0]},
            "months": (6, 7, 8),
            "upsampling": "cubic",
            "training": {"data": "nature run, seed 1", "synthetic": True, "days": 120},
            "encoder_digest": None,
            "architecture": {
                "encoder": {"history": 3, "channels": [8, 8, 8]},
                "denoiser": {
                    "condition": 4, "context": [8, 8, 8], "channels": [8, 16, 16], "blocks": 1,
                    "embedding": 16,
                },
                "climatology": None,
            },
            "statics": ("season",),
            "process": "flow",
            "sampler": {"name": "midpoint", "evaluations": 4},
            "residual_scale": 0.25,
            "spectrum": Spectrum.white().to_dict(),
            "inflation": {"4": [1.1, 1.2], "8": [1.05]},
            "source_quantiles": tuple(np.linspace(0.0, 2.0, 101)),
            "scores": (
                {"method": "bicubic", "CRPS": 0.031},
                {"method": "this model", "CRPS": 0.0143, "spread/skill": 0.97},
            ),
            "limitations": ("simulated dust only",),
        }  # fmt: skip
        return Card(**(content | changes))

    return make


@pytest.fixture
def tiny_state(make_card: Callable[..., Card]) -> Downscaler:
    """A model of random weights that may be told the day before, without encoder."""
    from xdownscale.models.downscaler import Downscaler

    denoiser = make_card().architecture["denoiser"] | {"context": [], "condition": 6}
    card = make_card(
        architecture={"encoder": None, "denoiser": denoiser, "climatology": None},
        state=True,
        state_correlation=0.2,
        inflation={},
    )
    torch.manual_seed(8)
    model = Downscaler.build(card)
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    return model


@pytest.fixture
def tiny_model(make_card: Callable[..., Card]) -> Downscaler:
    """A model of a few thousand random weights with its encoder's digest on the card."""
    from dataclasses import replace

    from xdownscale.models.downscaler import Downscaler
    from xdownscale.nn.encoder import digest

    torch.manual_seed(7)
    model = Downscaler.build(make_card())
    with torch.no_grad():
        for weight in model.denoiser.parameters():  # the zero-initialised ones too
            weight.add_(0.05 * torch.randn(weight.shape))
    return model.with_card(replace(model.card, encoder_digest=digest(model.encoder)))


_SMOOTH = Spectrum(tuple(1.0 / (1.0 + (30.0 * k) ** 2) ** 2 for k in np.linspace(0, 0.5, 33)), 1e-4, 24)
COARSE = MERRA2.window((216, 12), (352, 13))


def _dataarray(values: np.ndarray, grid: Grid, first: str = "2005-07-01T12") -> xr.DataArray:
    time = np.datetime64(first, "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    lat = ("lat", grid.y.values, {"standard_name": "latitude", "units": "degrees_north"})
    lon = ("lon", grid.x.values, {"standard_name": "longitude", "units": "degrees_east"})
    coordinates = {"time": ("time", time), "lat": lat, "lon": lon}
    attributes = {"units": "1", "long_name": "dust optical thickness"}
    return xr.DataArray(
        values.astype(np.float32), coordinates, ("time", "lat", "lon"), name="DUEXTTAU", attrs=attributes
    )


@pytest.fixture(scope="session")
def dataarray() -> Callable[..., xr.DataArray]:
    """(values (time, ny, nx), grid, first day) to a labelled DataArray."""
    return _dataarray


@pytest.fixture(scope="session")
def carried() -> Callable[..., np.ndarray]:
    """(grid, days, cells a day) to a lognormal field that moves east without change."""

    def make(grid: Grid, days: int, speed: int, seed: int = 0) -> np.ndarray:
        kernel = _SMOOTH.kernel()
        y = (grid.y.start, grid.y.size)
        return np.stack(
            [
                np.exp(
                    shaped(kernel, y, (grid.x.start - speed * d, grid.x.size), seed=seed, member=0, instant=0)
                    - 1
                )
                for d in range(days)
            ]
        )

    return make


@pytest.fixture(scope="session")
def records(
    dataarray: Callable[..., xr.DataArray], carried: Callable[..., np.ndarray]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Thirty days on 12 x 13 coarse cells, and the fine truth of which they are the means."""
    fine = refined(COARSE, G5NR)
    truth = carried(fine, 30, 10)
    a = coarsening(fine, COARSE)
    return dataarray(np.stack([a(day) for day in truth]), COARSE), dataarray(truth, fine)


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], Callable[..., None]]:
    """(module that trains, step) to a report that kills its training there; states are kept every two."""

    def make(module: Any, last: int) -> Callable[..., None]:
        run = module.Run
        monkeypatch.setattr(module, "Run", lambda *given: run(*given, every=2))

        def report(step: int, *_: Any) -> None:
            if step == last:
                raise KeyboardInterrupt

        return report

    return make


@pytest.fixture(scope="session")
def noisy_world(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where records of smooth noise stand for those that `benchmarks/transfer_map.py` simulates, tiny."""
    from dataclasses import replace

    from scipy.ndimage import gaussian_filter
    from transfer_map import SMALL, World

    world = World(tmp_path_factory.mktemp("world"), SMALL)
    rng = np.random.default_rng(0)
    for name in ("record", "train", "test"):
        run = replace(world.run(name), stride=1)
        noise = rng.standard_normal((4 * run.days, *run.grid.shape))
        fine = np.exp(2 * gaussian_filter(noise, (1, 2, 2)) - 2).astype(np.float32)
        mean = coarsening(run.grid, run.coarse)
        np.savez(world.folder / f"{name}.npz", fine=fine, coarse=np.stack([mean(day) for day in fine]))
    return world.folder
