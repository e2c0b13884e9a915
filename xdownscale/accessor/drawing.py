"""The accessor, and its methods that draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from xdownscale.accessor.measuring import Measuring

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping
    from pathlib import Path

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import Grid
    from xdownscale.inference.field import Plan
    from xdownscale.inference.sequence import Coherence
    from xdownscale.models.downscaler import Downscaler
    from xdownscale.patches import Tiling

__all__ = ["DownscaleAccessor"]


@xr.register_dataset_accessor("downscale")
@xr.register_dataarray_accessor("downscale")
class DownscaleAccessor(Measuring):
    """Downscaling of a coarse field, as ``da.downscale``; of a Dataset's one variable, as ``ds.downscale``.

    Parameters
    ----------
    obj : DataArray or Dataset
        The coarse field: time, latitude and longitude in any order, by any name. A Dataset holds one field
        beside bounds; with several, take one: ``ds["DUEXTTAU"].downscale``.

    Examples
    --------
    >>> import xarray as xr, xdownscale
    >>> xr.DataArray([0.1, 0.2]).downscale
    <downscale of a DataArray, dimensions (dim_0: 2)>
    """

    def __init__(self, obj: xr.DataArray | xr.Dataset) -> None:
        self._obj = obj

    def predict(
        self,
        model: Downscaler | str | os.PathLike[str],
        *,
        members: int = 1,
        seed: int = 0,
        product: Literal["draw", "mean"] = "draw",
        sampler: Sampler | str | None = None,
        tiling: Tiling | None = None,
        coherence: Coherence = "independent",
        state: xr.DataArray | None = None,
        conserve: bool = True,
        domain_check: Literal["raise", "warn", "ignore"] = "raise",
        dims: Mapping[str, str] | None = None,
        device: str = "auto",
        progress: bool | None = None,
    ) -> xr.DataArray:
        """Draw fine fields from this coarse field; see :func:`xdownscale.predict`.

        Parameters
        ----------
        model : Downscaler, str or path-like
            A model, a name of `list_models`, the path of a checkpoint, or an ``hf://`` address.
        members : int, >= 1
            Number of draws, the dimension `realization`; member m is the same however many are asked for.
        seed : int, >= 0
        product : {"draw", "mean"}
            Draws of the fine field, or the conditional mean (one evaluation).
        sampler : Sampler or str, optional
            The card's by default.
        tiling : Tiling, optional
            How the field is cut into patches.
        coherence : {"independent", "correlated", "autoregressive"}
            Of days in sequence.
        state : DataArray, optional
            An earlier result that an autoregressive run goes on from.
        conserve : bool
            Make the conservative coarse mean of each member equal to the input.
        domain_check : {"raise", "warn", "ignore"}
            What to do with input that the model was not trained for.
        dims : mapping, optional
            Names of the axes where discovery cannot tell, ``{"lat": "row"}``.
        device : str
            A torch device; "auto" takes the GPU if there is one.
        progress : bool, optional
            Show a bar; by default on a terminal only.

        Returns
        -------
        DataArray, dimensions (realization, time, lat, lon), float32

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> small = dust.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
        >>> dict(small.downscale.predict("jja_asia", members=2).sizes)
        {'realization': 2, 'time': 1, 'lat': 25, 'lon': 31}
        """
        from xdownscale.inference.field import predict

        return predict(
            self._obj,
            model,
            members=members,
            seed=seed,
            product=product,
            sampler=sampler,
            tiling=tiling,
            coherence=coherence,
            state=state,
            conserve=conserve,
            domain_check=domain_check,
            dims=dims,
            device=device,
            progress=progress,
        )

    def explain(
        self,
        model: Downscaler | str | os.PathLike[str],
        *,
        members: int = 1,
        seed: int = 0,
        product: Literal["draw", "mean"] = "draw",
        sampler: Sampler | str | None = None,
        tiling: Tiling | None = None,
        coherence: Coherence = "independent",
        state: xr.DataArray | None = None,
        conserve: bool = True,
        domain_check: Literal["raise", "warn", "ignore"] = "raise",
        dims: Mapping[str, str] | None = None,
        device: str = "auto",
        progress: bool | None = None,
    ) -> Plan:
        """What :meth:`predict` would do with the same arguments; see :func:`xdownscale.explain`.

        Parameters
        ----------
        model, members, seed, product, sampler, tiling, coherence, state, conserve, domain_check, dims, device
        progress
            As for :meth:`predict`.

        Returns
        -------
        Plan
            Grids, patches, evaluations, memory and expected time; readable as text and as HTML.

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> plan = dust.downscale.explain("jja_asia", members=4)
        >>> [line for line in str(plan).splitlines() if line.startswith("fields")]
        ["fields           6 times x 4 members, product 'draw'"]
        """
        from xdownscale.inference.field import explain

        return explain(
            self._obj,
            model,
            members=members,
            seed=seed,
            product=product,
            sampler=sampler,
            tiling=tiling,
            coherence=coherence,
            state=state,
            conserve=conserve,
            domain_check=domain_check,
            dims=dims,
            device=device,
            progress=progress,
        )

    def to_zarr(
        self,
        store: str | os.PathLike[str],
        model: Downscaler | str | os.PathLike[str],
        *,
        members: int = 1,
        seed: int = 0,
        product: Literal["draw", "mean"] = "draw",
        sampler: Sampler | str | None = None,
        tiling: Tiling | None = None,
        coherence: Coherence = "independent",
        state: xr.DataArray | None = None,
        conserve: bool = True,
        domain_check: Literal["raise", "warn", "ignore"] = "raise",
        dims: Mapping[str, str] | None = None,
        device: str = "auto",
        progress: bool | None = None,
        chunks: Mapping[str, int] | None = None,
        overwrite: bool = False,
        report: Callable[[Plan], Any] | None = None,
    ) -> Path | str:
        """Draw into a zarr store, or go on with one that was interrupted; see :func:`xdownscale.to_zarr`.

        Parameters
        ----------
        store : path or fsspec URL
        model, members, seed, product, sampler, tiling, coherence, state, conserve, domain_check, dims
        device, progress
            As for :meth:`predict`.
        chunks, overwrite, report
            As for the function.

        Returns
        -------
        Path, or str for a URL

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> small = dust.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
        >>> store = small.downscale.to_zarr(Path(mkdtemp()) / "fine.zarr", "jja_asia")
        >>> store.name
        'fine.zarr'
        """
        from xdownscale.inference.store import to_zarr

        return to_zarr(
            self._obj,
            store,
            model,
            members=members,
            seed=seed,
            product=product,
            sampler=sampler,
            tiling=tiling,
            coherence=coherence,
            state=state,
            conserve=conserve,
            domain_check=domain_check,
            dims=dims,
            device=device,
            progress=progress,
            chunks=chunks,
            overwrite=overwrite,
            report=report,
        )

    def coarsen(
        self,
        to: tuple[int, int] | Grid,
        *,
        min_valid: float = 0.5,
        dims: Mapping[str, Hashable] | None = None,
    ) -> xr.DataArray:
        """Area-weighted means on coarser cells; see :func:`xdownscale.coarsen`.

        Parameters
        ----------
        to : (int, int) or Grid
        min_valid, dims
            As for the function.

        Returns
        -------
        DataArray

        Examples
        --------
        >>> import xdownscale
        >>> dust = xdownscale.open_sample().DUEXTTAU
        >>> dict(dust.downscale.coarsen((2, 4)).sizes)
        {'time': 6, 'lat': 20, 'lon': 10}
        """
        from xdownscale.cf.coarsening import coarsen

        return coarsen(self._field, to, min_valid=min_valid, dims=dims)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {size}" for name, size in self._obj.sizes.items())
        return f"<downscale of a {type(self._obj).__name__}, dimensions ({sizes})>"
