"""Between a command and its terminal: messages instead of tracebacks, files that are whole or absent."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr

__all__ = [
    "Interrupted",
    "Refused",
    "Wanting",
    "beside",
    "check_folder",
    "check_output",
    "on_terminal",
    "plainly",
    "steps_done",
    "write_netcdf",
]


class Refused(click.ClickException):
    """What the user asked for cannot be done, and the message says why."""

    exit_code = 2


class Wanting(click.ClickException):
    """What was examined is not as it should be; what is wrong was printed."""

    exit_code = 1


class Interrupted(click.ClickException):
    """The user stopped the command."""

    exit_code = 130

    def show(self, file: Any = None) -> None:
        """One line, which is no error's."""
        click.echo(f"Interrupted: {self.message}", file=file, err=file is None)


@contextlib.contextmanager
def plainly(interrupted: str = "nothing was written") -> Iterator[None]:
    """Warnings as one line; errors of input end with exit code 2 and their message, an interrupt with 130.

    Parameters
    ----------
    interrupted : str
        What the user is told of the output when the command was stopped.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            yield
        except (ValueError, TypeError, LookupError, OSError, ImportError) as error:
            raise Refused(_message(error)) from error
        except KeyboardInterrupt as stop:
            # zarr's thread may have writes under way, and asyncio tells at the end that they were left
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise Interrupted(interrupted) from stop


def on_terminal() -> bool:
    """Whether a progress bar has a reader."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def steps_done(total: int, label: str, *, unit: str = "step") -> Iterator[Callable[..., None]]:
    """A bar for work that reports the steps done and, if it has them, a loss and a score."""
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit=unit, disable=not on_terminal()) as bar:

        def report(done: int, loss: float | None = None, score: float | None = None) -> None:
            shown = {"loss": loss, "validation": score}
            bar.set_postfix({k: f"{v:.4f}" for k, v in shown.items() if v is not None}, refresh=False)
            bar.update(done - bar.n)

        yield report


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output before anything is computed.

    Raises
    ------
    FileExistsError
        It exists and is not to be overwritten, or is a folder.
    FileNotFoundError
        Its folder does not exist.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        hint = "a folder stands there" if path.is_dir() else "give --overwrite to replace it"
        raise FileExistsError(f"output {path} exists: {hint}")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse an output whose folder does not exist.

    Raises
    ------
    FileNotFoundError
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"output {path}: the folder {path.parent} does not exist; make it first")


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path in the same folder, renamed to `path` on success and removed on failure."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        part.replace(path)


def write_netcdf(data: xr.Dataset | xr.DataArray, path: Path) -> None:
    """Write one netCDF-4 file, whole or not at all.

    Raises
    ------
    OSError
        The file could not be written, say because no space is left.
    """
    with beside(path) as part:
        try:
            data.to_netcdf(part, engine="netcdf4", format="NETCDF4")
        except RuntimeError as error:  # the netCDF library's word for a full disk
            raise OSError(f"{path} could not be written: {error}") from error


def _message(error: Exception) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {message}", err=True)
