"""`to_zarr`: a job written block by block, killed and resumed at will, the bits the same.

The store's metadata come first, with NaN for all that is not done; then whole chunks, each a block of some
days of some members, whole in space, so that no two writers ever touch the same file. Chunks end in a crc32c.
A ledger (`inference.ledger`) says what is done and from what. A second call checks that it is for the same
store (model, seed, options, labels and values of the input), reads what is done, remakes what is damaged, and
draws the rest, with the store's own blocks, whatever chunks the input has now.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import asdict, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.cf import orientation, to_dataset
from xdownscale.checkpoint import fingerprint
from xdownscale.inference.block import Piece, Recipe, drawn, pieces
from xdownscale.inference.field import labelled, plan
from xdownscale.inference.job import Job, prepare
from xdownscale.inference.ledger import JOB, DamagedError, Ledger, digest, fault, record
from xdownscale.inference.place import Place
from xdownscale.inference.plan import Blocks, Plan, measured
from xdownscale.inference.sequence import check_rising

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.inference.domain import DomainCheck
    from xdownscale.inference.sequence import Coherence
    from xdownscale.models import Downscaler
    from xdownscale.patches import Tiling
    from xdownscale.registry import Reference

__all__ = ["identity", "to_zarr"]

_BLOCK_BYTES = 16 << 20


def to_zarr(
    da: xr.DataArray | xr.Dataset,
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
    domain_check: DomainCheck = "raise",
    dims: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: bool | None = None,
    chunks: Mapping[str, int] | None = None,
    overwrite: bool = False,
    report: Callable[[Plan], Any] | None = None,
) -> Path | str:
    """Downscale a coarse field into a zarr store, or go on with one that was interrupted.

    Parameters
    ----------
    da, model, members, seed, product, sampler, tiling, conserve, domain_check, dims, device, progress
        As `predict`. Blocks of an input in memory are drawn here, one after another; those of an input on
        dask by dask's scheduler, be it threads, processes or a cluster, whose workers write them.
    coherence, state
        As `predict`. In an autoregressive run the blocks of a member wait for each other, members for none;
        each goes on from the day before as it stands in the store.
    store : path or fsspec URL
        Every worker must be able to write there.
    chunks : mapping, optional
        Members and days of a block, ``{"realization": 1, "time": 30}``; by default one member, and days of up
        to 16 MiB. A store that exists keeps its own.
    overwrite : bool
        Replace a store of another job. One of the same job is gone on with: its bits are the same.
    report : callable, optional
        Called with the plan, its expected time measured on one patch, before anything is drawn.

    Returns
    -------
    Path, or str for a URL
        The store.

    Raises
    ------
    ValueError, TypeError, DomainError
        As `predict`; or the store is for another model, seed, option or input. Nothing is written then.
    FileExistsError
        Something else is there, and `overwrite` is false or it is no zarr store.
    OSError
        A block could not be written. What was done stays; the same call goes on.

    Notes
    -----
    One call at a time may write to a store.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
    >>> store = to_zarr(dust, Path(mkdtemp()) / "fine.zarr", "jja_asia", members=2)
    >>> import xarray as xr
    >>> dict(xr.open_zarr(store, consolidated=False).sizes)["realization"]
    2
    """
    job = prepare(
        da,
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
    )
    if job.past is not None:
        raise ValueError(
            f"the encoder of {job.model.card.name} looks at fine days, which blocks do not carry: draw in "
            "memory, predict(...), and write the result"
        )
    check_rising(job.field.instants, coherence)
    place = Place.of(store)
    ledger = _begun(job, _wanted(job, place, chunks), overwrite=overwrite)
    parts = pieces(job, *ledger.sizes)
    if report is not None:
        report(measured(plan(job, _blocks(job, ledger)), job.model))
    sound = _sound(job, ledger, parts)
    missing = {index: piece for index, piece in parts.items() if index not in sound}
    with _bar(progress, len(parts), len(sound)) as bar:
        made = partial(_made, place, ledger.variable)
        _each(job, ledger, missing, made, bar.update, chained=_chained(job))
    target: Path | str = place.target
    return target


def identity(job: Job) -> dict[str, str]:
    """What makes the bits of a store, as text: a call that differs in any is for another store.

    Parameters
    ----------
    job : Job

    Returns
    -------
    dict of str to str
        The values of the input are not among them: each block has the digest of those that it is from.
    """
    options, card, field = job.options, job.model.card, job.field
    asked = {f.name: str(getattr(options, f.name)) for f in fields(options)}
    stamps = ["none" if t is None else str(t) for t in job.looked.instants]
    tiling = asdict(options.tiling)
    if options.tiling.merge == "step":
        del tiling["batch"]  # no bit depends on it
    if job.state is not None:
        asked["state"] = f"{job.state.instant}, sha256 {digest(job.state.values)}"
    if job.model.compiling is not None:
        asked["compiled"] = str(job.model.compiling)
    return asked | {
        "model": f"{card.name} {card.version}, {fingerprint(job.model)}",
        "members": str(len(options.members)),
        "tiling": str(tiling),
        "device": options.device.partition(":")[0],
        "times": f"{field.days}, sha256 {hashlib.sha256(' '.join(stamps).encode()).hexdigest()}",
        "grid": f"{field.grid.to_dict()}, {orientation(field, job.fine)}",
        "dimensions": str({str(d): n for d, n in field.others.items()}),
    }


def _wanted(job: Job, place: Place, chunks: Mapping[str, int] | None) -> Ledger:
    """The ledger of a new store."""
    time = str(job.field.axes.time or "time")
    ny, nx = job.fine.shape
    usual = {"realization": 1, time: max(1, _BLOCK_BYTES // (4 * ny * nx))}
    asked: dict[str, Any] = usual | dict(chunks or {})
    if set(asked) != set(usual):
        raise ValueError(f"chunks names {sorted(set(asked) - set(usual))}: expected some of {list(usual)}")
    for name, size in asked.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"chunks[{name!r}] is {size!r}: expected a whole number of at least 1")
    shape = job.shape[:-2]
    block = min(shape[-2], int(asked["realization"])), min(shape[-1], int(asked[time]))
    return Ledger(place, identity(job), job.model.card.variable, shape, block, job.field.axes.time is None)


def _begun(job: Job, wanted: Ledger, *, overwrite: bool) -> Ledger:
    """The ledger of the store, found or laid; refused where another job's or none is there."""
    place = wanted.place
    try:
        found = Ledger.read(place)
    except DamagedError as error:
        if not overwrite:
            raise DamagedError(
                f"{error}; restore it from a copy, or begin anew with overwrite=True"
            ) from error
        found = None
    if found is None:
        _make_room(place, overwrite=overwrite)
        return _laid(job, wanted)
    differing = _differing(found, wanted)
    if differing and not overwrite:
        raise ValueError(
            f"{place} was begun for another job: {'; '.join(differing)}. Choose another store, ask for the "
            "same, or replace it with overwrite=True"
        )
    if differing or found.metadata is None:
        place.remove()
        return _laid(job, wanted)
    return found


def _differing(found: Ledger, wanted: Ledger) -> list[str]:
    names = sorted({*found.identity, *wanted.identity})
    pairs = ((n, found.identity.get(n), wanted.identity.get(n)) for n in names)
    return [f"its {n} is {there}, here {here}" for n, there, here in pairs if there != here]


def _make_room(place: Place, *, overwrite: bool) -> None:
    if not place.keys():
        return
    if not overwrite:
        raise FileExistsError(
            f"{place} exists and is no store that can be gone on with: choose another, or replace it with "
            "overwrite=True"
        )
    if not place.is_zarr():
        raise FileExistsError(f"{place} exists and is no zarr store: it is not replaced; remove it yourself")
    place.remove()


def _laid(job: Job, ledger: Ledger) -> Ledger:
    """All metadata, and NaN for all that is not done."""
    import zarr

    place = ledger.place
    with _writing(place, "the metadata"):
        ledger.write()
        zarr.open_group(place.target, mode="a", zarr_format=3).require_group("ledger")
        _template(job, ledger).to_zarr(
            place.target, mode="a", compute=False, consolidated=False, zarr_format=3
        )
        keys = [key for key in place.keys("") if key != JOB]
        metadata = {key: hashlib.sha256(place.read(key)).hexdigest() for key in keys}
        sealed = replace(ledger, metadata=metadata)
        sealed.write()
    return sealed


def _template(job: Job, ledger: Ledger) -> xr.Dataset:
    import dask.array
    from zarr.codecs import Crc32cCodec, ZstdCodec

    shape = (*job.shape[:-3], *job.shape[-2:]) if ledger.timeless else job.shape
    block = ledger.block[:1] if ledger.timeless else ledger.block
    chunks = (*(1 for _ in ledger.shape[:-2]), *block, *job.fine.shape)
    dataset = to_dataset(labelled(job, dask.array.full(shape, np.nan, dtype=np.float32, chunks=chunks)))
    for name in dataset.variables:
        if name != ledger.variable:
            dataset[name].load()
    dataset[ledger.variable].encoding = {
        "chunks": chunks,
        "compressors": (ZstdCodec(level=3), Crc32cCodec()),
        "dtype": "float32",
        "fill_value": np.float32(np.nan),
        "_FillValue": np.float32(np.nan),
        "grid_mapping": "spatial_ref",
    }
    return dataset


def _sound(job: Job, ledger: Ledger, parts: Mapping[tuple[int, ...], Piece]) -> set[tuple[int, ...]]:
    """The blocks that are done, are what was written, and are from this input; in a chain, up to a gap.

    Raises
    ------
    DamagedError
        Metadata are not what was written.
    ValueError
        A block is from other coarse values.
    """
    if altered := ledger.altered():
        raise DamagedError(
            f"{ledger.place} is damaged: {'; '.join(altered)}. Restore it from a copy, or begin anew in "
            "another store"
        )
    done = ledger.done()
    known = {index: kept for index, kept in done.items() if kept is not None}
    found = _each(job, ledger, {index: parts[index] for index in known}, _input, lambda: None)
    for index, kept in known.items():
        if kept["input"] != found[index]:
            first, end = (day - job.first for day in parts[index].days)
            raise ValueError(
                f"{ledger.place} was begun with other values of the input, among them those of times {first} "
                f"to {end - 1} or of their history: give the same input, or choose another store"
            )
    sound = {index for index, kept in known.items() if fault(ledger, index, kept) is None}
    if _chained(job):
        sound = {(*rest, j) for *rest, j in sound if all((*rest, k) in sound for k in range(j))}
    return sound


def _chained(job: Job) -> bool:
    """Whether a block needs the day before it."""
    return job.options.coherence == "autoregressive"


def _each(
    job: Job,
    ledger: Ledger,
    parts: Mapping[tuple[int, ...], Piece],
    call: Callable[..., Any],
    done: Callable[[], Any],
    *,
    chained: bool = False,
) -> dict[tuple[int, ...], Any]:
    """What ``call(piece, recipe, model, coarse)`` gives for each block, here or by dask."""
    if job.values is None:
        from xdownscale.inference.chunked import computed

        return computed(job, parts, ledger.sizes[1], call, done, chained=chained)
    recipe, results = Recipe.of(job), {}
    for index, piece in parts.items():
        results[index] = call(piece, recipe, job.model, job.values[piece.other][piece.needed])
        done()
    return results


def _made(
    place: Place,
    variable: str,
    piece: Piece,
    recipe: Recipe,
    carried: Reference | Downscaler,
    coarse: NDArray[np.float64],
) -> None:
    """Draw a block, write it, and say so: in this order."""
    array = place.array(variable, "r+")
    before = None
    first, end = (day - recipe.first for day in piece.days)
    if recipe.options.coherence == "autoregressive" and first:
        before = np.asarray(array[(*piece.other, slice(*piece.members), first - 1)])
    made = drawn(recipe, carried, piece, coarse, before)
    spans = [slice(*piece.members), *(() if recipe.timeless else (slice(first, end),))]
    known = made.residual[np.isfinite(made.residual)]
    content = {
        "sha256": digest(made.values),
        "input": _input(piece, recipe, carried, coarse),
        "residual": float(known.max()) if known.size else None,
    }
    with _writing(place, f"block {piece.index}"):
        array[(*piece.other, *spans)] = made.values
        record(place, piece.index, content)


def _input(
    piece: Piece,  # noqa: ARG001 - as `_made`
    recipe: Recipe,  # noqa: ARG001
    carried: Reference | Downscaler,  # noqa: ARG001
    coarse: NDArray[np.float64],
) -> str:
    return digest(np.maximum(coarse, 0.0))


@contextlib.contextmanager
def _writing(place: Place, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{what} of {place} could not be written ({error.strerror or error}): what is done stays; make "
            "room or give access, and the same call goes on",
        ) from error


def _blocks(job: Job, ledger: Ledger) -> Blocks:
    source, axes = job.field.source, job.field.axes
    spatial = 1 if job.values is not None else max(len(source.chunksizes[d]) for d in (axes.lat, axes.lon))
    return Blocks(ledger.blocks, *ledger.block, job.model.history - 1, spatial)


def _bar(progress: bool | None, total: int, done: int) -> Any:
    from tqdm.auto import tqdm

    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, initial=done, unit="block", disable=not shown)
