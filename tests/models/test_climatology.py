"""The climatology: bytes within half a step, zero where it does not reach, one map on every window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from xdownscale.checkpoint import CheckpointError, load, save
from xdownscale.grid import G5NR
from xdownscale.models import Downscaler, conditioning
from xdownscale.models.climatology import Climatology
from xdownscale.models.schema import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models import Card

PLAIN = {"encoder": None, "denoiser": None}
WINDOW = G5NR.window((1600, 24), (3400, 40))


@pytest.fixture
def maps() -> Any:
    return np.random.default_rng(0).normal(size=(2, *WINDOW.shape)) * np.array([1.0, 3.0])[:, None, None]


@pytest.fixture
def climatology(maps: Any) -> Climatology:
    return Climatology.of(maps, WINDOW)


class TestMaps:
    def test_bytes_are_within_half_a_step(self, maps: Any, climatology: Climatology) -> None:
        """Even ones of the log deviation; of the mean they grow with it, as its slope in the byte does."""
        assert climatology.spans == pytest.approx(tuple(np.abs(maps).max(axis=(1, 2))))
        error = np.abs(climatology.on(WINDOW).numpy() - maps)
        spans, bend = climatology.spans, climatology.bends[0]
        assert climatology.bends == (4.0, 0.0)
        assert error[1].max() <= 0.5 * spans[1] / 127 * (1 + 1e-5)
        grown = np.sqrt(maps[0] ** 2 + (spans[0] / np.sinh(bend)) ** 2)
        assert (error[0] <= 0.5 * bend / 127 * grown * 1.02).all()
        assert error[0][np.abs(maps[0]) < 0.1].max() < 0.5 * spans[0] / 127 / 5

    def test_its_ends_and_zero_are_kept(self) -> None:
        ends = np.array([[[-8.0, 0.0, 8.0]], [[-1.0, 0.0, 1.0]]])
        window = G5NR.window((1600, 1), (3400, 3))
        np.testing.assert_allclose(Climatology.of(ends, window).on(window), ends, rtol=1e-6)

    def test_of_older_cards_have_even_steps(self, climatology: Climatology) -> None:
        spec = {key: value for key, value in climatology.to_dict().items() if key != "bends"}
        again = Climatology.described(FIELDS["architecture"](PLAIN | {"climatology": spec})["climatology"])
        assert again.bends == (0.0, 0.0)
        steps = torch.arange(-128, 128, dtype=torch.int8)[None, None, :].expand(2, 1, -1)
        here = G5NR.window((1600, 1), (3400, 256))
        even = Climatology(steps, (1.5, 3.0), (1600, 1), (3400, 256), bends=(0.0, 0.0))
        expected = torch.stack([steps[0] * torch.tensor(s / 127) for s in (1.5, 3.0)])
        torch.testing.assert_close(even.on(here), expected, rtol=0, atol=0)

    def test_a_window_is_a_cut_of_the_whole(self, climatology: Climatology) -> None:
        part = climatology.on(G5NR.window((1605, 8), (3410, 16)))
        torch.testing.assert_close(part, climatology.on(WINDOW)[:, 5:13, 10:26], rtol=0, atol=0)

    def test_nothing_is_known_outside(self, climatology: Climatology) -> None:
        wide = climatology.on(G5NR.window((1592, 40), (3392, 56)))
        torch.testing.assert_close(wide[:, 8:32, 8:48], climatology.on(WINDOW), rtol=0, atol=0)
        wide[:, 8:32, 8:48] = 0
        assert not wide.any()
        assert not climatology.on(G5NR.window((100, 8), (100, 8))).any()

    def test_longitude_is_a_circle(self, maps: Any) -> None:
        """A map across the dateline, asked for on either side of it and by indices a turn away."""
        seam = Climatology.of(maps, G5NR.window((1600, 24), (5740, 40)))
        whole = seam.on(G5NR.window((1600, 24), (5740, 40)))
        torch.testing.assert_close(
            seam.on(G5NR.window((1600, 24), (0, 20))), whole[:, :, 20:], rtol=0, atol=0
        )
        torch.testing.assert_close(
            seam.on(G5NR.window((1600, 24), (-20, 20))), whole[:, :, :20], rtol=0, atol=0
        )

    def test_gaps_are_zero(self, maps: Any) -> None:
        maps[:, 3, 4] = np.nan
        assert not Climatology.of(maps, WINDOW).on(WINDOW)[:, 3, 4].any()

    def test_it_is_asked_for_by_name(self, climatology: Climatology) -> None:
        names = ("season", "climatology")
        told = conditioning.statics(names, WINDOW, 0, climatology=climatology)
        torch.testing.assert_close(told[2:], climatology.on(WINDOW))
        assert len(told) + 2 == conditioning.channels(names)
        with pytest.raises(ValueError, match="no climatology is given"):
            conditioning.statics(names, WINDOW, 0)


class TestModel:
    @pytest.fixture
    def model(self, make_card: Callable[..., Card], climatology: Climatology) -> Downscaler:
        plain = make_card(statics=("season", "climatology"))
        parts = plain.architecture
        parts["denoiser"]["condition"] = conditioning.channels(plain.statics)
        card = replace(
            plain, architecture=parts | {"climatology": climatology.to_dict()}, encoder_digest=None
        )
        fresh = Downscaler.build(card)
        return Downscaler(card, fresh.denoiser, fresh.encoder, climatology)

    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_a_checkpoint_keeps_every_byte(self, model: Downscaler, dtype: Any, tmp_path: Path) -> None:
        save(model, tmp_path / "m.safetensors", dtype=dtype)
        again = load(tmp_path / "m.safetensors")
        assert again.climatology is not None
        torch.testing.assert_close(again.climatology.maps, model.climatology.maps, rtol=0, atol=0)
        assert again.climatology.to_dict() == model.climatology.to_dict()
        assert (tmp_path / "m.safetensors").stat().st_size > 2 * WINDOW.shape[0] * WINDOW.shape[1]

    def test_another_climatology_is_refused(self, model: Downscaler, maps: Any) -> None:
        other = Climatology.of(2 * maps, WINDOW)
        with pytest.raises(ValueError, match=r"the climatology is .* the card says"):
            Downscaler(model.card, model.denoiser, model.encoder, other)
        with pytest.raises(ValueError, match="the climatology is None"):
            Downscaler(model.card, model.denoiser, model.encoder)

    def test_floats_in_its_place_are_refused(self, model: Downscaler, tmp_path: Path) -> None:
        model.climatology = replace(model.climatology, maps=model.climatology.maps.float())
        save(model, tmp_path / "m.safetensors")
        with pytest.raises(CheckpointError, match=r"climatology.maps is F32: expected I8"):
            load(tmp_path / "m.safetensors")
