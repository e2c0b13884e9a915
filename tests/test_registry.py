"""Names, paths and models; entry points that fail do no harm."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xdownscale import registry
from xdownscale.checkpoint import CheckpointError, save
from xdownscale.registry import Reference, SyntheticModelWarning, list_models, refer, resolve

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def shelf(tiny_model: Downscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two observed models in the place of the bundled ones, and no entry points."""
    observed = replace(tiny_model.card, training={"data": "GOES-16", "synthetic": False})
    for name in ("jja_asia", "djf_asia"):
        save(tiny_model.with_card(replace(observed, name=name)), tmp_path / f"{name}.safetensors")
    found = {p.stem: p for p in sorted(tmp_path.glob("*.safetensors"))}
    monkeypatch.setattr(registry, "_bundled", lambda: found)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])  # noqa: ARG005
    return tmp_path


def plug(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = [EntryPoint(name, value, "xdownscale.models") for name, value in values.items()]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: points if group == "xdownscale.models" else []
    )


def third_party() -> Path:
    """An entry point of another package, as it would be."""
    return Path(_PATHS[0])


def broken() -> Path:
    raise RuntimeError("no licence server")


_PATHS: list[str] = []


def test_a_model_is_itself(tiny_model: Downscaler) -> None:
    assert resolve(tiny_model) is tiny_model


@pytest.mark.usefixtures("shelf")
def test_name() -> None:
    found = resolve("jja_asia")
    assert found.card.name == "jja_asia"
    assert found.sha256 is not None


def test_paths(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shelf / "djf_asia.safetensors"
    assert resolve(path).card.name == resolve(str(path)).card.name == "djf_asia"
    monkeypatch.chdir(shelf)
    assert resolve("djf_asia.safetensors").card.name == "djf_asia"
    assert resolve("./djf_asia.safetensors").card.name == "djf_asia"
    path.rename(shelf / "mine")
    assert resolve("mine").card.name == "djf_asia"


def test_a_name_comes_before_a_file_of_that_name(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shelf)
    Path("jja_asia").write_text("not a model")
    assert resolve("jja_asia").card.name == "jja_asia"


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("jja_asai", ValueError, "no model is named 'jja_asai': did you mean 'jja_asia'"),
        ("zzzzzz", ValueError, r"there are \['djf_asia', 'jja_asia'\]"),
        ("hf://org/repo/f.safetensors", ValueError, "names no commit"),
        ("hf://org/repo@main/f.safetensors", ValueError, "'main' is no commit"),
        ("absent.safetensors", FileNotFoundError, "no such file"),
        ("no/such/model", FileNotFoundError, "no such file"),
        ("JJA_Asia", ValueError, "did you mean 'jja_asia'"),
        ("", ValueError, "no model is named ''"),
        (3, TypeError, "model is a int: expected a name, a path or a Downscaler"),
        (None, TypeError, "model is a NoneType"),
    ],
)
def test_refused(model: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve(model)  # type: ignore[arg-type]


def test_damaged_file(shelf: Path) -> None:
    path = shelf / "bad.safetensors"
    path.write_bytes(b"\x80\x04" + bytes(100))
    with pytest.raises(CheckpointError, match="pickle"):
        resolve(path)


@pytest.mark.usefixtures("shelf")
def test_list() -> None:
    cards = list_models()
    assert list(cards) == ["djf_asia", "jja_asia"]
    assert cards["jja_asia"].training["data"] == "GOES-16"


def test_list_skips_a_damaged_file_with_a_warning(shelf: Path) -> None:
    (shelf / "djf_asia.safetensors").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="model 'djf_asia' is skipped"):
        assert list(list_models()) == ["jja_asia"]


def test_entry_points(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _PATHS[:] = [str(shelf / "djf_asia.safetensors")]
    plug(monkeypatch, theirs=f"{__name__}:third_party", listed=f"{__name__}:_PATHS", jja_asia="absent:x")
    monkeypatch.setattr(EntryPoint, "load", lambda point: third_party if point.name == "theirs" else broken)
    assert resolve("theirs").card.name == "djf_asia"
    assert resolve("jja_asia").card.name == "jja_asia", "bundled names come first"
    with pytest.warns(UserWarning, match=r"entry point 'listed' .* is skipped: RuntimeError\('no licence"):
        assert list(list_models()) == ["djf_asia", "jja_asia", "theirs"]


@pytest.mark.usefixtures("shelf")
def test_broken_entry_point_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, theirs="no_such_package_at_all:path")
    with (
        pytest.warns(UserWarning, match="ModuleNotFoundError"),
        pytest.raises(ValueError, match="no model is named 'theirs'"),
    ):
        resolve("theirs")


@pytest.mark.usefixtures("shelf")
def test_entry_point_names_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, **{"../evil": "x:y", "Bad Name": "x:y"})
    assert list(list_models()) == ["djf_asia", "jja_asia"]


def test_synthetic_model_warns_once(tiny_model: Downscaler, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save(tiny_model, path)
    registry._warn_synthetic.cache_clear()
    with pytest.warns(SyntheticModelWarning, match="trained on simulated dust"):
        resolve(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(path)


def test_observed_model_does_not_warn(shelf: Path) -> None:
    registry._warn_synthetic.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(shelf / "jja_asia.safetensors")


def test_bundled_files_are_what_they_are_called() -> None:
    for name, path in registry._bundled().items():
        card = list_models()[name]
        assert card.name == name
        assert path.stat().st_size <= 8 * 2**20
        assert card.synthetic


class TestHub:
    """Addresses, with a cache that is a folder: `tests/test_hub.py` fetches."""

    ADDRESS = f"hf://org/repo@{4 * '0123456789'}/djf_asia.safetensors"

    @pytest.fixture(autouse=True)
    def cache(self, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "_LOADED", {})
        monkeypatch.setattr(registry, "fetch", lambda address: shelf / address.file)

    def test_with_and_without_digest(self) -> None:
        found = resolve(self.ADDRESS)
        assert found.card.name == "djf_asia"
        assert resolve(f"{self.ADDRESS}#sha256={found.sha256}").sha256 == found.sha256

    def test_another_file_is_refused(self, shelf: Path) -> None:
        wanted = f"{self.ADDRESS}#sha256={resolve(self.ADDRESS).sha256}"
        (shelf / "djf_asia.safetensors").write_bytes((shelf / "jja_asia.safetensors").read_bytes())
        for _ in range(2):
            with pytest.raises(CheckpointError, match=r"sha256 is \w{64}: expected \w{64}; it is not used"):
                resolve(wanted)

    def test_a_pickle_is_refused(self, shelf: Path) -> None:
        (shelf / "djf_asia.safetensors").write_bytes(b"\x80\x04" + bytes(100))
        with pytest.raises(CheckpointError, match=r"a pickle, .* never opened.* and it is fetched again"):
            resolve(self.ADDRESS)

    def test_travels_as_it_is(self, shelf: Path) -> None:
        model = resolve(self.ADDRESS)
        found = refer(self.ADDRESS, model)
        assert found == Reference(self.ADDRESS, str(model.sha256))
        assert found.load().sha256 == model.sha256
        (shelf / "djf_asia.safetensors").write_bytes((shelf / "jja_asia.safetensors").read_bytes())
        registry._LOADED.clear()
        with pytest.raises(ValueError, match=r"has sha256 .* here, and .*: give every worker the same file"):
            found.load()


class TestReference:
    @pytest.fixture(autouse=True)
    def nothing_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "_LOADED", {})

    @pytest.mark.usefixtures("shelf")
    def test_a_name_travels_as_a_name(self) -> None:
        model = resolve("jja_asia")
        found = refer("jja_asia", model)
        assert found == Reference("jja_asia", str(model.sha256))
        assert found.load().sha256 == model.sha256

    @pytest.mark.parametrize("written", [str, Path])
    def test_a_path_travels_absolute(
        self, shelf: Path, monkeypatch: pytest.MonkeyPatch, written: type
    ) -> None:
        monkeypatch.chdir(shelf)
        given = written("djf_asia.safetensors")
        found = refer(given, resolve(given))
        assert isinstance(found, Reference)
        assert found.source == str(shelf / "djf_asia.safetensors")
        monkeypatch.chdir("/")
        assert found.load().card.name == "djf_asia"

    def test_a_model_in_memory_travels_itself(self, tiny_model: Downscaler) -> None:
        assert refer(tiny_model, tiny_model) is tiny_model

    def test_loaded_once_by_many_threads(self, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from concurrent.futures import ThreadPoolExecutor

        reference = refer(shelf / "djf_asia.safetensors", resolve(shelf / "djf_asia.safetensors"))
        assert isinstance(reference, Reference)
        loads: list[Path] = []
        original = registry.load
        monkeypatch.setattr(registry, "load", lambda path: loads.append(path) or original(path))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: reference.load(), range(16)))
        assert len(loads) == 1
        assert all(model is found[0] for model in found)

    def test_another_file_is_refused(self, shelf: Path) -> None:
        path = shelf / "djf_asia.safetensors"
        reference = refer(path, resolve(path))
        path.write_bytes((shelf / "jja_asia.safetensors").read_bytes())
        assert isinstance(reference, Reference)
        with pytest.raises(
            ValueError, match=r"has sha256 \w{64} here, and \w{64} where .*: give every worker"
        ):
            reference.load()
        path.unlink()
        with pytest.raises(FileNotFoundError, match="no such file"):
            reference.load()
