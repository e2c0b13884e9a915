"""Addresses are taken apart strictly; files come whole from a hub, or an error says why not.

The hub is a server of this process on the loopback; what asks it is huggingface_hub as it is installed, in
processes of their own, because it reads its environment once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from xdownscale import hub
from xdownscale.checkpoint import save
from xdownscale.hub import Address, HubError, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdownscale.models.downscaler import Downscaler

COMMIT = 4 * "0123456789"
DIGEST = 8 * "0a1b2c3d"
PLAIN = f"hf://org/repo@{COMMIT}/sub/dust.safetensors"


class TestAddress:
    def test_parts(self) -> None:
        assert Address.parse(PLAIN) == Address("org/repo", COMMIT, "sub/dust.safetensors")
        full = Address.parse(f"{PLAIN}#sha256={DIGEST}")
        assert full.sha256 == DIGEST
        assert str(full) == f"{PLAIN}#sha256={DIGEST}"
        assert str(Address.parse(PLAIN)) == PLAIN

    @pytest.mark.parametrize("name", ["a/b", "A1/b_c", "my-org/x.y_z-0", "a" * 96 + "/" + "b" * 96])
    def test_names(self, name: str) -> None:
        assert Address.parse(f"hf://{name}@{COMMIT}/f.safetensors").repository == name

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("hf://", "names no commit"),
            ("hf://org/repo/f.safetensors", "names no commit, and what a branch holds can change"),
            (f"hf://org/repo/{COMMIT}/f.safetensors", "names no commit"),
            ("hf://org/repo@main/f.safetensors", "'main' is no commit, .* the 40 hex digits of a commit"),
            ("hf://org/repo@v1.0/f.safetensors", r"'v1\.0' is no commit"),
            (f"hf://org/repo@{COMMIT[:12]}/f.safetensors", "is no commit"),
            (f"hf://org/repo@{COMMIT}0/f.safetensors", "is no commit"),
            (f"hf://org/repo@{'A' * 40}/f.safetensors", "is no commit"),
            (f"hf://org/repo@{COMMIT}\n/f.safetensors", "is no commit"),
            (f"hf://repo@{COMMIT}/f.safetensors", "'repo' is no repository: expected ORG/REPO"),
            (f"hf://datasets/org/repo@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf:///repo@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://../repo@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/a..b@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/a--b@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/-a@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/a.git@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/caf\u00e9@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/{'a' * 97}@{COMMIT}/f.safetensors", "is no repository"),
            (f"hf://org/repo@{COMMIT}", "'' is no path of a checkpoint"),
            (f"hf://org/repo@{COMMIT}/", "'' is no path of a checkpoint"),
            (f"hf://org/repo@{COMMIT}/model.bin", "names that end with .safetensors"),
            (f"hf://org/repo@{COMMIT}/.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/../f.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/a/../../f.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/a//f.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/a\\f.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/%2e%2e/f.safetensors", "is no path"),
            (f"hf://org/repo@{COMMIT}/f.safetensors?download=1", "is no path"),
            (f"hf://org/repo@{COMMIT}/f.safetensors\n", "is no path"),
            (f"{PLAIN}#", "'' is no digest: expected sha256= and 64 hex digits"),
            (f"{PLAIN}#sha256={DIGEST[:-1]}", "is no digest"),
            (f"{PLAIN}#md5={DIGEST}", "is no digest"),
            (f"{PLAIN}#sha256={DIGEST}#sha256={DIGEST}", "is no digest"),
            (f"hf://org/repo@{COMMIT}/{'a/' * 600}f.safetensors", "at most 1000 characters"),
            (f"http://org/repo@{COMMIT}/f.safetensors", "expected hf://"),
        ],
    )
    def test_refused(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            Address.parse(text)
        assert str(caught.value).endswith("hf://ORG/REPO@COMMIT/FILE.safetensors[#sha256=DIGEST]")
        assert len(str(caught.value)) < 2200


class TestFetch:
    """What is asked of huggingface_hub, and what becomes of its errors."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Calls of `hf_hub_download`; an exception put first is raised."""
        calls: list[Any] = []

        def download(repo_id: str, filename: str, *, revision: str, local_files_only: bool) -> str:
            if calls and isinstance(calls[0], Exception):
                raise calls[0]
            calls.append((repo_id, filename, revision, local_files_only))
            return "/cache/file"

        monkeypatch.setattr(hub, "require", lambda *_, **__: SimpleNamespace(hf_hub_download=download))
        for name in ("XDOWNSCALE_OFFLINE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        return calls

    def test_a_commit_is_asked_for(self, asked: list[Any]) -> None:
        assert fetch(Address.parse(PLAIN)) == Path("/cache/file")
        assert asked == [("org/repo", "sub/dust.safetensors", COMMIT, False)]

    @pytest.mark.parametrize("name", ["XDOWNSCALE_OFFLINE", "HF_HUB_OFFLINE"])
    def test_offline(self, asked: list[Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        for value, only in (("1", True), ("true", True), ("0", False), ("", False)):
            monkeypatch.setenv(name, value)
            fetch(Address.parse(PLAIN))
            assert asked[-1][-1] is only
        monkeypatch.setenv(name, "1")
        asked.insert(0, FileNotFoundError("not cached"))
        with pytest.raises(
            HubError, match=f"{COMMIT}.* is not in the cache, and {name} is set: unset it, or"
        ):
            fetch(Address.parse(PLAIN))

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ConnectionError("no route"), "cannot be had: no route; try again where there is a network"),
            (PermissionError(errno.EACCES, "denied", "/x"), "denied.*the cache cannot be written: .*HF_HOME"),
            (OSError(errno.ENOSPC, "No space left"), "No space left; the cache cannot be written: make room"),
            (ValueError(), "cannot be had: ValueError; try again"),
            (RuntimeError("of\n  any   kind"), "of any kind; try again"),
        ],
    )
    def test_errors_are_ours(self, asked: list[Any], error: Exception, message: str) -> None:
        asked.append(error)
        with pytest.raises(HubError, match=message) as caught:
            fetch(Address.parse(PLAIN))
        assert caught.value.__cause__ is error

    def test_refused_by_the_hub(self, asked: list[Any]) -> None:
        error = OSError("404 Not Found")
        error.response = SimpleNamespace(status_code=404)  # type: ignore[attr-defined]
        asked.append(error)
        with pytest.raises(HubError, match="404 Not Found; check the address"):
            fetch(Address.parse(PLAIN))

    def test_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"pip install 'xarray-downscale\[hub\]'"):
            fetch(Address.parse(PLAIN))


class Hub:
    """A hub of one repository, org/repo, on the loopback."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}  # bytes that are sent of a file whose length is told as it is
        self.short: dict[str, int] = {}  # bytes that are sent, and told to be all, in answer to GET
        self.asked: list[tuple[str, str]] = []
        self.says_why = True  # that a file is not there, in the hub's own header
        self.together: threading.Barrier | None = None  # first questions are answered at once
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def count(self, method: str) -> int:
        return sum(found == method for found, _ in self.asked)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does: what a file is, and the file."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def do_GET(self) -> None:
        self.answer(send=True)

    def answer(self, *, send: bool) -> None:
        hub, file = self.hub, self.path.removeprefix(f"/org/repo/resolve/{COMMIT}/")
        if "/resolve/" in self.path:
            hub.asked.append((self.command, file))
        if not send and hub.together is not None:
            hub.together.wait(60)
        body = hub.files.get(file, b"")
        self.send_response(200 if body else 404)
        if body:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        elif hub.says_why:
            self.send_header("X-Error-Code", "EntryNotFound")
        told = body[: hub.short.get(file, len(body))] if send else body
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if send:
            self.wfile.write(told[: hub.cut.pop(file, len(told))])

    def log_message(self, *_: Any) -> None:
        """Nothing: the test says what matters."""


@pytest.fixture
def served() -> Iterator[Hub]:
    found = Hub()
    yield found
    found.close()


CHILD = """
import ctypes, json, sys, warnings
libc = ctypes.CDLL(None)
if hasattr(libc, "capset"):  # without capabilities root obeys file permissions too
    libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
warnings.simplefilter("ignore")
import xdownscale
for address in sys.argv[1:]:
    try:
        print(json.dumps(["sha256", xdownscale.resolve(address).sha256]), flush=True)
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)
"""
Ask = Any


@pytest.fixture
def begin(served: Hub, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that resolves addresses; its home, cache and folder are new."""
    (tmp_path / "home").mkdir()
    (tmp_path / "folder").mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.upper().endswith(("_PROXY", "_OFFLINE"))}
    environment = {
        **kept,
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_ENDPOINT": served.url,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }

    def start(*addresses: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, *addresses],
            stdout=subprocess.PIPE,
            text=True,
            env=environment | changes,
            cwd=tmp_path / "folder",
        )

    return start


@pytest.fixture
def ask(begin: Callable[..., subprocess.Popen[str]]) -> Ask:
    """What a process of its own makes of addresses: (kind, text) each."""

    def run(*addresses: str, **changes: str) -> list[list[str]]:
        return answers(begin(*addresses, **changes))

    return run


def answers(process: subprocess.Popen[str]) -> list[list[str]]:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def model(tiny_model: Downscaler, tmp_path: Path, served: Hub) -> str:
    """On the hub: sub/dust.safetensors, whose sha256 this is, and other.safetensors."""
    sha256 = save(tiny_model, tmp_path / "dust.safetensors")
    save(tiny_model.with_card(replace(tiny_model.card, version="other")), tmp_path / "other.safetensors")
    served.files["sub/dust.safetensors"] = (tmp_path / "dust.safetensors").read_bytes()
    served.files["other.safetensors"] = (tmp_path / "other.safetensors").read_bytes()
    return sha256


def at(file: str, digest: str = "") -> str:
    return f"hf://org/repo@{COMMIT}/{file}" + (f"#sha256={digest}" if digest else "")


def test_fetched_once_then_from_the_cache(model: str, served: Hub, ask: Ask, tmp_path: Path) -> None:
    assert ask(PLAIN, f"{PLAIN}#sha256={model}") == [["sha256", model]] * 2
    assert served.asked == [("HEAD", "sub/dust.safetensors"), ("GET", "sub/dust.safetensors")]
    assert list((tmp_path / "home").rglob("*")) == list((tmp_path / "folder").rglob("*")) == []
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # nobody listens there
    assert ask(PLAIN, **nobody) == [["sha256", model]]
    cached, other = ask(PLAIN, at("other.safetensors"), **nobody, HF_HUB_OFFLINE="1")
    assert cached == ["sha256", model]
    assert other[0] == "HubError"
    assert other[1].startswith(f"{at('other.safetensors')} is not in the cache, and HF_HUB_OFFLINE is set")


@pytest.mark.slow
def test_offline_with_an_empty_cache(model: str, served: Hub, ask: Ask, tmp_path: Path) -> None:
    ((kind, text),) = ask(PLAIN, XDOWNSCALE_OFFLINE="1")
    assert kind == "HubError"
    assert text.startswith(f"{PLAIN} is not in the cache, and XDOWNSCALE_OFFLINE is set: unset it")
    assert served.asked == []
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("says_why", [True, False])
def test_not_on_the_hub(model: str, served: Hub, ask: Ask, says_why: bool) -> None:
    served.says_why = says_why
    ((kind, text),) = ask(at("absent.safetensors"))
    assert kind == "HubError"
    assert "404" in text
    assert text.endswith("check the address, and whether it is yours to read")


@pytest.mark.slow
def test_no_network(served: Hub, ask: Ask) -> None:
    served.close()
    ((kind, text),) = ask(PLAIN)
    assert kind == "HubError"
    assert "refused" in text
    assert text.endswith("try again where there is a network, or give the path of the file")


def test_two_processes_at_once(
    model: str, served: Hub, begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    served.together = threading.Barrier(2)
    both = [begin(f"{PLAIN}#sha256={model}") for _ in range(2)]
    assert [answers(process) for process in both] == [[["sha256", model]]] * 2
    assert served.count("HEAD") == 2
    assert 1 <= served.count("GET") <= 2
    stored = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size > 1000]
    assert {p.read_bytes() for p in stored} == {served.files["sub/dust.safetensors"]}
    assert not list((tmp_path / "cache").rglob("*.incomplete"))


@pytest.mark.slow
def test_another_model_in_its_place(model: str, served: Hub, ask: Ask) -> None:
    address = at("other.safetensors", model)
    first, again, plain = ask(address, address, at("other.safetensors"))
    assert first[0] == again[0] == "CheckpointError"
    assert f"expected {model}; it is not used" in first[1]
    assert plain[0] == "sha256"
    assert plain[1] != model


def test_damaged_and_mended(model: str, served: Hub, ask: Ask, tmp_path: Path) -> None:
    sound = served.files["other.safetensors"]
    served.files["other.safetensors"] = sound[:-40] + bytes([sound[-40] ^ 1]) + sound[-39:]
    served.files["sub/dust.safetensors"] = sound[: len(sound) // 2]
    tampered, again, truncated = ask(at("other.safetensors"), at("other.safetensors"), PLAIN)
    assert tampered == again
    assert tampered[0] == truncated[0] == "CheckpointError"
    assert "damaged or tampered with" in tampered[1]
    assert "truncated" in truncated[1]
    blob = Path(tampered[1].partition("delete ")[2].partition(", and it is fetched again")[0])
    assert blob.is_relative_to(tmp_path / "cache")
    served.files["other.safetensors"] = sound
    blob.unlink()
    assert ask(at("other.safetensors")) == [["sha256", hashlib.sha256(sound).hexdigest()]]


@pytest.mark.slow
def test_a_broken_transfer_leaves_nothing(model: str, served: Hub, ask: Ask, tmp_path: Path) -> None:
    served.short["other.safetensors"] = 5000
    served.cut["sub/dust.safetensors"] = 5000  # the line breaks once, and the client tries again
    short, mended = ask(at("other.safetensors"), PLAIN)
    assert short[0] == "HubError"
    assert "5000" in short[1]
    assert mended == ["sha256", model]
    stored = {p.resolve() for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size > 1000}
    assert [hashlib.sha256(p.read_bytes()).hexdigest() for p in stored] == [model]


@pytest.mark.slow
def test_read_only_cache(model: str, served: Hub, ask: Ask, tmp_path: Path) -> None:
    assert ask(PLAIN) == [["sha256", model]]
    cache = tmp_path / "cache"
    folders = [cache, *(p for p in cache.rglob("*") if p.is_dir())]
    before = sorted(cache.rglob("*"))
    for folder in folders:
        folder.chmod(0o555)
    try:
        cached, other = ask(PLAIN, at("other.safetensors"))
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert cached == ["sha256", model]
    assert other[0] == "HubError"
    assert "the cache cannot be written: make room, or set HF_HOME" in other[1]
    assert sorted(cache.rglob("*")) == before
