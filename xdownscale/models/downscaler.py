"""The one composer: networks, value transform, grids, process and noise become a model.

With y the coarse field, x the fine one, T the transform and U the upsampling, the model describes the
residual r = (T(x) - U T(y)) / scale. A `Downscaler` holds what a card says (grids, T, U, scale, the process
(alpha, sigma), the noise kernel) and the two networks; it knows nothing of patches, members, labels or files.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xdownscale import scaling as _scaling
from xdownscale.diffusion.sample import Sampler
from xdownscale.diffusion.schedule import from_name
from xdownscale.grid import Grid
from xdownscale.models import conditioning
from xdownscale.models.climatology import MAPS, Climatology
from xdownscale.nn.denoiser import Denoiser, Nothing
from xdownscale.nn.encoder import Encoder, digest
from xdownscale.noise import Spectrum

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from xdownscale.diffusion.schedule import Schedule
    from xdownscale.models.card import Card

__all__ = ["Downscaler"]

_CLIMATOLOGY = "climatology.maps"


class Downscaler:
    """A conditional diffusion model between two grids.

    Parameters
    ----------
    card : Card
        What the model is, what it was trained on, and how it scored.
    denoiser : Denoiser
    encoder : Encoder, optional
        The frozen transfer encoder; None for a model without one.
    climatology : Climatology, optional
        Where the static map of this name is among the conditions.
    sha256 : str, optional
        Digest of the file that the model was read from.

    Raises
    ------
    ValueError
        If the encoder's digest or the climatology is not the card's.

    Examples
    --------
    >>> import xdownscale
    >>> model = xdownscale.resolve("jja_asia")
    >>> model, model.history, model.sampler
    (<Downscaler jja_asia 0.1.0: flow, 1,389,020 weights>, 5, Sampler(name='midpoint', evaluations=4))
    """

    def __init__(
        self,
        card: Card,
        denoiser: Denoiser,
        encoder: Encoder | None = None,
        climatology: Climatology | None = None,
        sha256: str | None = None,
    ) -> None:
        self.card = card
        self.climatology = climatology
        self.denoiser = denoiser.eval()
        self.encoder = None if encoder is None else encoder.eval().requires_grad_(False)
        self.sha256 = sha256
        self._starting: dict[int, NDArray[np.float64]] = {}
        self._check()

    @classmethod
    def build(cls, card: Card) -> Downscaler:
        """A model with the card's architecture, fresh weights and an empty climatology."""
        denoiser, encoder = _networks(card)
        spec = card.architecture["climatology"]
        return cls(card, denoiser, encoder, None if spec is None else Climatology.empty(spec))

    @classmethod
    def expected(cls, card: Card) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Names, shapes and types of the weights that the card's architecture has, without allocating any."""
        with torch.device("meta"):
            networks = _networks(card)
        weights = {name: (tuple(w.shape), w.dtype) for name, w in _state(*networks).items()}
        if (spec := card.architecture["climatology"]) is not None:
            weights[_CLIMATOLOGY] = (len(MAPS), spec["y"][1], spec["x"][1]), torch.int8
        return weights

    @classmethod
    def from_state(cls, card: Card, state: dict[str, Tensor], sha256: str | None = None) -> Downscaler:
        """The model with the given weights; `state` is what `state()` returned.

        Raises
        ------
        ValueError
            If a name or a shape is not the architecture's.
        """
        denoiser, encoder = _networks(card)
        modules = {"denoiser": denoiser, "encoder": encoder}
        for prefix, module in modules.items():
            part = {k.partition(".")[2]: v.float() for k, v in state.items() if k.partition(".")[0] == prefix}
            if module is not None:
                _load(module, part, prefix)
        spec, climatology = card.architecture["climatology"], None
        if spec is not None:
            climatology = Climatology(
                state[_CLIMATOLOGY], tuple(spec["spans"]), tuple(spec["y"]), tuple(spec["x"])
            )
        return cls(card, denoiser, encoder, climatology, sha256)

    def state(self) -> dict[str, Tensor]:
        """All weights by name: `denoiser.*`, `encoder.*` and `climatology.maps`."""
        state = _state(self.denoiser, self.encoder)
        return state if self.climatology is None else state | {_CLIMATOLOGY: self.climatology.maps}

    def with_card(self, card: Card) -> Downscaler:
        """The same networks under another card; a card that differs is no longer that of the file."""
        sha256 = self.sha256 if card == self.card else None
        return Downscaler(card, self.denoiser, self.encoder, self.climatology, sha256)

    @cached_property
    def coarse(self) -> Grid:
        """The whole coarse grid."""
        return Grid.from_dict(self.card.coarse)

    @cached_property
    def fine(self) -> Grid:
        """The whole fine grid."""
        return Grid.from_dict(self.card.fine)

    @cached_property
    def scaling(self) -> _scaling.Scaling:
        """The value transform T."""
        return _scaling.from_dict(self.card.scaling)

    @cached_property
    def schedule(self) -> Schedule:
        """The process: alpha and sigma of the noise level."""
        return from_name(self.card.process)

    @cached_property
    def kernel(self) -> NDArray[np.float64]:
        """The compact kernel that shapes the white field noise."""
        return self.inflated((1.0,))

    def inflated(self, inflation: Sequence[float]) -> NDArray[np.float64]:
        """The kernel with factors at equally spaced wavenumbers from 0 to 1/2 cycles per cell."""
        return Spectrum.from_dict(self.card.spectrum).kernel(inflation)

    def starting_kernel(self, evaluations: int) -> NDArray[np.float64]:
        """The kernel of a draw's starting noise, inflated as fitted for this number of evaluations."""
        if evaluations not in self._starting:
            self._starting[evaluations] = self.inflated(self.inflation(evaluations))
        return self._starting[evaluations]

    @cached_property
    def sampler(self) -> Sampler:
        """The card's default sampler."""
        return Sampler(str(self.card.sampler["name"]), int(self.card.sampler["evaluations"]))

    @property
    def history(self) -> int:
        """Coarse days the encoder looks at, today included; 1 without an encoder."""
        return 1 if self.encoder is None else self.encoder.history

    def inflation(self, evaluations: int) -> list[float]:
        """Factors on the starting noise, fitted for this number of evaluations (else for the nearest)."""
        fitted = {int(k): v for k, v in self.card.inflation.items()}
        if not fitted:
            return [1.0]
        return fitted[min(fitted, key=lambda n: (abs(n - evaluations), n))]

    def maps(self, history: NDArray[Any], mask: NDArray[Any], coarse: Grid) -> list[Tensor] | None:
        """The encoder's features of one day on the whole coarse window, projected to the denoiser's levels.

        Parameters
        ----------
        history, mask : ndarray, shape (B, L, ny, nx)
        coarse : Grid

        Returns
        -------
        list of Tensor, shapes (B, C_l, ny, nx), or None without an encoder
        """
        if self.encoder is None:
            return None
        return self.denoiser.project(conditioning.encode(self.encoder, history, mask, coarse))

    def seen(self, condition: Tensor) -> Tensor:
        """What the network makes of a condition, shape (B, C, H, W), once for all evaluations.

        Returns
        -------
        Tensor
            The condition itself, channels last, if the network has no `look`.
        """
        if hasattr(self.denoiser, "look"):
            return self.denoiser.look(condition)
        return condition.contiguous(memory_format=torch.channels_last)

    def predicted(self, x_t: Tensor, level: Tensor, seen: Tensor, context: list[Tensor] | None) -> Tensor:
        """The prediction for a condition that was `seen`; the rest as in `Denoiser.forward`."""
        network = self.denoiser.again if hasattr(self.denoiser, "look") else self.denoiser
        prediction: Tensor = network(x_t, level, seen, context)
        return prediction

    def to(self, device: torch.device | str) -> Downscaler:
        """Move the networks to a device, in place."""
        self.denoiser.to(device)
        if self.encoder is not None:
            self.encoder.to(device)
        return self

    def __repr__(self) -> str:
        weights = sum(p.numel() for p in self.denoiser.parameters())
        return f"<Downscaler {self.card.name} {self.card.version}: {self.card.process}, {weights:,} weights>"

    def _check(self) -> None:
        found = None if self.encoder is None else digest(self.encoder)
        if self.card.encoder_digest and found != self.card.encoder_digest:
            raise ValueError(
                f"the encoder's digest is {found}, the card says {self.card.encoder_digest}: the frozen "
                "encoder is not the one the model was trained with; load the checkpoint it came in"
            )
        carried = None if self.climatology is None else self.climatology.to_dict()
        if carried != self.card.architecture["climatology"]:
            raise ValueError(
                f"the climatology is {carried}, the card says {self.card.architecture['climatology']}: "
                "load the checkpoint it came in"
            )


def _networks(card: Card) -> tuple[Denoiser, Encoder | None]:
    parts = card.architecture
    spec = parts["denoiser"]
    if spec is None:
        return Nothing(), None
    denoiser = Denoiser(
        condition=int(spec["condition"]),
        context=tuple(spec["context"]),
        channels=tuple(spec["channels"]),
        blocks=int(spec["blocks"]),
        embedding=int(spec["embedding"]),
    )
    if parts.get("encoder") is None:
        return denoiser, None
    return denoiser, Encoder(int(parts["encoder"]["history"]), tuple(parts["encoder"]["channels"]))


def _state(denoiser: Denoiser, encoder: Encoder | None) -> dict[str, Tensor]:
    state = {f"denoiser.{k}": v for k, v in denoiser.state_dict().items()}
    if encoder is not None:
        state |= {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    return state


def _load(module: torch.nn.Module, part: dict[str, Tensor], prefix: str) -> None:
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in part.items()}
    if wanted != found:
        odd = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        raise ValueError(
            f"{prefix}: weights {odd[:3]} are {[found.get(k) for k in odd[:3]]}, "
            f"the card's architecture has {[wanted.get(k) for k in odd[:3]]}"
        )
    module.load_state_dict(part)
