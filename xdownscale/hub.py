"""Files of a model hub: an address that names one file for good, and that file in the hub's cache.

    hf://ORG/REPO@COMMIT/PATH.safetensors[#sha256=DIGEST]

COMMIT is 40 hex digits: a branch or a tag may hold another model tomorrow. DIGEST, 64 hex digits, is of the
file. An address is taken apart strictly before anything is imported or asked. `huggingface_hub` (the extra
``hub``) fetches and caches; nothing is written but in its cache, and a file that lies there is used without a
network. What the file holds is not looked at here.

With ``XDOWNSCALE_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` in the environment the cache alone is asked.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from xdownscale._optional import require

__all__ = ["SCHEME", "Address", "HubError", "fetch"]

SCHEME = "hf://"
_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("sha256=([0-9a-f]{64})")
_FILE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors", re.ASCII)
_LONGEST = 1000
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
_OFFLINE = ("XDOWNSCALE_OFFLINE", "HF_HUB_OFFLINE")


class HubError(OSError):
    """A file cannot be had from its hub, nor from the cache."""


@dataclass(frozen=True)
class Address:
    """One file of one commit of a repository.

    Attributes
    ----------
    repository : str
        ORG/REPO.
    commit : str
        40 hex digits.
    file : str
        Path in the repository.
    sha256 : str or None
        That the file must have, 64 hex digits.
    """

    repository: str
    commit: str
    file: str
    sha256: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Take an address apart.

        Raises
        ------
        ValueError
            If it is none; the message says what is wrong and what to write.

        Examples
        --------
        >>> Address.parse("hf://org/repo@" + 4 * "0123456789" + "/dust.safetensors").file
        'dust.safetensors'
        >>> Address.parse("hf://org/repo@main/dust.safetensors")
        Traceback (most recent call last):
            ...
        ValueError: model 'hf://org/repo@main/dust.safetensors': 'main' is no commit, and what a branch or tag
        holds can change: expected the 40 hex digits of a commit,
        hf://ORG/REPO@COMMIT/FILE.safetensors[#sha256=DIGEST]
        """
        place, hashed, digest = text.removeprefix(SCHEME).partition("#")
        repository, _, rest = place.partition("@")
        commit, _, file = rest.partition("/")
        fault = _fault(repository, commit, file)
        found = _DIGEST.fullmatch(digest)
        if not text.startswith(SCHEME) or len(text) > _LONGEST:
            fault = f"expected {SCHEME} and at most {_LONGEST} characters"
        elif not fault and hashed and not found:
            fault = f"{digest!r} is no digest: expected sha256= and 64 hex digits"
        if fault:
            shown = text if len(text) <= 200 else f"{text[:200]}..."
            raise ValueError(
                f"model {shown!r}: {fault}, {SCHEME}ORG/REPO@COMMIT/FILE.safetensors[#sha256=DIGEST]"
            )
        return cls(repository, commit, file, found[1] if found else None)

    def __str__(self) -> str:
        digest = "" if self.sha256 is None else f"#sha256={self.sha256}"
        return f"{SCHEME}{self.repository}@{self.commit}/{self.file}{digest}"


def fetch(address: Address) -> Path:
    """The file of an address: from the cache, else from the hub into the cache.

    Parameters
    ----------
    address : Address

    Returns
    -------
    Path
        In the cache of `huggingface_hub`. Its content is not checked.

    Raises
    ------
    ImportError
        `huggingface_hub` is not installed; the message names the extra.
    HubError
        No network, offline, no such file, no right to read it, or a cache that cannot be written; the message
        says which, and what to do.
    """
    hub = require("huggingface_hub", extra="hub", purpose="reading hf:// models")
    offline = [name for name in _OFFLINE if os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}]
    try:
        path = hub.hf_hub_download(
            address.repository, address.file, revision=address.commit, local_files_only=bool(offline)
        )
    except Exception as error:  # the hub's client raises errors of its own and of two HTTP libraries
        if offline:
            raise HubError(
                f"{address} is not in the cache, and {offline[0]} is set: unset it, or fetch the file once "
                "where there is a network and give its path"
            ) from error
        absent = isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception)
        told = error.__cause__ if absent else error  # not in the cache either, because of this
        raise HubError(f"{address} cannot be had: {_reason(told)}") from error
    return Path(path)


def _fault(repository: str, commit: str, file: str) -> str:
    if not commit:
        return "it names no commit, and what a branch holds can change: expected its 40 hex digits"
    names = repository.split("/")
    if len(names) != 2 or not all(_NAME.fullmatch(name) for name in names) or repository.endswith(".git"):
        return f"{repository!r} is no repository: expected ORG/REPO"
    if not _COMMIT.fullmatch(commit):
        return (
            f"{commit!r} is no commit, and what a branch or tag holds can change: expected the 40 hex digits "
            "of a commit"
        )
    if not _FILE.fullmatch(file):
        return f"{file!r} is no path of a checkpoint: expected plain names that end with .safetensors"
    return ""


def _reason(error: BaseException | None) -> str:
    """What went wrong, in a line, and what to do."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return f"{said}; the cache cannot be written: make room, or set HF_HOME to another folder"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return f"{said}; check the address, and whether it is yours to read"
    return f"{said}; try again where there is a network, or give the path of the file"
