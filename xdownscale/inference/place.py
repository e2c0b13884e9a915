"""Where a store is: a folder on a disk, or a prefix on an object store.

Files are written whole or not at all. A `Place` is a few bytes, and is opened anew in every process.
"""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["Place"]

_LEFT_OVER = (".part", ".partial")


@dataclass(frozen=True)
class Place:
    """Where a store is: a local path or an fsspec URL. Opened anew in every process.

    Attributes
    ----------
    url : str
        An absolute path, or a URL with its protocol.
    """

    url: str

    @classmethod
    def of(cls, store: str | os.PathLike[str]) -> Place:
        """From a path or URL; ``file://`` is a path."""
        text = os.fspath(store).removeprefix("file://")
        return cls(text if "://" in text else str(Path(text).absolute()))

    @property
    def path(self) -> Path | None:
        """The path of a local store."""
        return None if "://" in self.url else Path(self.url)

    @cached_property
    def _fs(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        fs, root = url_to_fs(self.url)
        return fs, str(root)

    def read(self, key: str) -> bytes:
        """The bytes of a file; FileNotFoundError where there is none."""
        fs, root = self._fs
        return bytes(fs.cat_file(f"{root}/{key}"))

    def write(self, key: str, content: bytes) -> None:
        """A file whole or not at all, on disks as on object stores."""
        if self.path is None:
            fs, root = self._fs
            fs.pipe_file(f"{root}/{key}", content)
            return
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}{_LEFT_OVER[0]}")
        part.write_bytes(content)
        part.replace(target)

    @property
    def target(self) -> Any:
        """What zarr and xarray open."""
        return self.url if self.path is None else self.path

    def keys(self, folder: str = "") -> list[str]:
        """Files below a folder, ascending; without what an interrupted write left."""
        fs, root = self._fs
        fs.invalidate_cache()
        whole = f"{root}/{folder}".rstrip("/")
        found = fs.find(whole) if fs.exists(whole) else []
        keys = (str(f).removeprefix(root).lstrip("/") for f in found)
        return sorted(k for k in keys if not k.endswith(_LEFT_OVER))

    def is_zarr(self) -> bool:
        """Whether the root is a group of zarr."""
        fs, root = self._fs
        return any(fs.exists(f"{root}/{name}") for name in ("zarr.json", ".zgroup"))

    def remove(self) -> None:
        """The whole store. A local one is renamed first, so that it is never half there."""
        if self.path is None:
            fs, root = self._fs
            fs.rm(root, recursive=True)
            return
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.old")
        self.path.rename(aside)
        shutil.rmtree(aside)

    def array(self, name: str, mode: str) -> Any:
        """A zarr array of the store."""
        import zarr

        return zarr.open_group(self.target, mode=mode)[name]  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.url
