"""The one composer: networks, value transform, grids, process and noise become a model.

With y the coarse field, x the fine one, T the transform and U the upsampling, the model describes the
residual r = (T(x) - U T(y)) / scale. A `Downscaler` holds what a card says (grids, T, U, scale, the process
(alpha, sigma), the noise kernel) and the two networks; it knows nothing of patches, members, labels or files.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from xdownscale import scaling as _scaling
from xdownscale.diffusion.sample import FIXED, Sampler
from xdownscale.diffusion.schedule import from_name
from xdownscale.grid import Grid
from xdownscale.models import conditioning
from xdownscale.models.climatology import MAPS, Climatology
from xdownscale.models.members import MemberByMember
from xdownscale.nn.denoiser import Climate, Denoiser, Nothing, Second
from xdownscale.nn.encoder import Encoder, digest
from xdownscale.noise import Spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from xdownscale.diffusion.schedule import Schedule
    from xdownscale.models.card import Card

__all__ = ["Downscaler", "sampler_key"]

_CLIMATOLOGY = "climatology.maps"
_USUAL = 4


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
    fast : Second, optional
        The second network of a model that was distilled, for `sampler="fast"`.

    Attributes
    ----------
    compiling : dict or None
        Options of `torch.compile`, where the networks are compiled (`compiled`).

    Raises
    ------
    ValueError
        If the encoder's digest, the climatology or the second network is not the card's.

    Examples
    --------
    >>> import xdownscale
    >>> model = xdownscale.resolve("jja_asia")
    >>> model, model.history, model.sampler
    (<Downscaler jja_asia 0.12.0: flow, 1,389,020 weights>, 5, Sampler(name='fast', evaluations=2))
    """

    def __init__(
        self,
        card: Card,
        denoiser: Denoiser,
        encoder: Encoder | None = None,
        climatology: Climatology | None = None,
        sha256: str | None = None,
        fast: Second | None = None,
    ) -> None:
        self.card = card
        self.climatology = climatology
        self.denoiser = denoiser.eval()
        self.encoder = None if encoder is None else encoder.eval().requires_grad_(False)
        self.fast = None if fast is None else fast.eval()
        self.sha256 = sha256
        self._starting: dict[str, NDArray[np.float64]] = {}
        self.compiling: dict[str, Any] | None = None
        self._calls: dict[int, Callable[..., Tensor]] = {}
        self._check()

    @classmethod
    def build(cls, card: Card) -> Downscaler:
        """A model with the card's architecture, fresh weights and an empty climatology."""
        denoiser, encoder, fast = _networks(card)
        spec = card.architecture["climatology"]
        return cls(card, denoiser, encoder, None if spec is None else Climatology.described(spec), fast=fast)

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
        denoiser, encoder, fast = _networks(card)
        modules = {"denoiser": denoiser, "encoder": encoder, "fast": fast}
        for prefix, module in modules.items():
            part = {k.partition(".")[2]: v.float() for k, v in state.items() if k.partition(".")[0] == prefix}
            if module is not None:
                _load(module, part, prefix)
        spec, climatology = card.architecture["climatology"], None
        if spec is not None:
            climatology = Climatology.described(spec, state[_CLIMATOLOGY])
        return cls(card, denoiser, encoder, climatology, sha256, fast)

    def state(self) -> dict[str, Tensor]:
        """All weights by name: `denoiser.*`, `encoder.*`, `fast.*` and `climatology.maps`."""
        state = _state(self.denoiser, self.encoder, self.fast)
        return state if self.climatology is None else state | {_CLIMATOLOGY: self.climatology.maps}

    def with_card(self, card: Card) -> Downscaler:
        """The same networks under another card; a card that differs is no longer that of the file."""
        sha256 = self.sha256 if card == self.card else None
        model = Downscaler(card, self.denoiser, self.encoder, self.climatology, sha256, self.fast)
        model.compiling = self.compiling
        return model

    def with_fast(self, fast: Second) -> Downscaler:
        """The same model with a second network, for `sampler="fast"`, whose spread is not fitted yet."""
        card = replace(self.card.without("fast"), distilled=True)
        return Downscaler(card, self.denoiser, self.encoder, self.climatology, fast=fast)

    def compiled(self, **options: Any) -> Downscaler:
        """The same model, its networks compiled by `torch.compile` when they are first asked.

        Worth it for long runs on a GPU; on a processor it was measured to gain a few per cent. Every size of
        patch is compiled for itself, in some seconds to a minute, and draws move by rounding.

        Parameters
        ----------
        **options
            Of `torch.compile`, such as `dynamic` or `mode`.

        Returns
        -------
        Downscaler
            It shares its weights with this one.

        Examples
        --------
        >>> import xdownscale
        >>> xdownscale.resolve("jja_asia").compiled(mode="max-autotune-no-cudagraphs")
        <Downscaler jja_asia ...>
        """
        model = self.with_card(self.card)
        model.compiling = options
        return model

    def network(self, sampler: Sampler, t: float, fast: Second | None = None) -> Denoiser:
        """Which network a sampler asks at noise level t; all share the context of the first.

        Parameters
        ----------
        sampler : Sampler
        t : float, 0-1
        fast : Second, optional
            In place of the model's own second network.

        Raises
        ------
        ValueError
            If the sampler is `fast` and the model was not distilled.
        """
        if sampler.name != "fast" or t >= 1:
            return self.denoiser
        found = self.fast if fast is None else fast
        if found is None:
            raise ValueError(
                f"sampler is 'fast', and {self.card.name} was not distilled: use another sampler"
            )
        return found

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

    def starting_kernel(self, sampler: Sampler) -> NDArray[np.float64]:
        """The kernel of a draw's starting noise, inflated as fitted for this sampler."""
        key = sampler_key(sampler)
        if key not in self._starting:
            self._starting[key] = self.inflated(self.inflation(sampler))
        return self._starting[key]

    @cached_property
    def sampler(self) -> Sampler:
        """The card's default sampler."""
        return Sampler(str(self.card.sampler["name"]), int(self.card.sampler["evaluations"]))

    def sampler_of(self, evaluations: int | Literal["fast"], name: str | None = None) -> Sampler:
        """A sampler with so many evaluations: the one named, else the card's, or `midpoint` for `fast`.

        Parameters
        ----------
        evaluations : int or "fast"
        name : str, optional

        Returns
        -------
        Sampler
        """
        if evaluations == "fast":
            return Sampler("fast", FIXED["fast"])
        return Sampler(
            name or ("midpoint" if self.sampler.name == "fast" else self.sampler.name), evaluations
        )

    def sampler_named(self, name: str) -> Sampler:
        """A sampler by its name, with the card's evaluations, or those that it always has."""
        usual = _USUAL if self.sampler.name in FIXED else self.sampler.evaluations
        return Sampler(name, FIXED.get(name, usual))

    @property
    def history(self) -> int:
        """Coarse days that are looked at, today included; 1 where no encoder does."""
        return 1 if self.encoder is None or self.card.sees == "fine" else self.encoder.history

    @property
    def past(self) -> int:
        """Fine days before today that the encoder looks at; 0 for most models."""
        return self.encoder.history if self.encoder is not None and self.card.sees == "fine" else 0

    def inflation(self, sampler: Sampler) -> list[float]:
        """Factors on the starting noise, fitted for this number of evaluations (else for the nearest)."""
        return self.card.inflation.get(self._nearest_fitted(sampler), [1.0])

    def member_by_member(self, sampler: Sampler) -> MemberByMember | None:
        """How members are moved, fitted for this number of evaluations (else the nearest); None if not."""
        fitted = self.card.member_by_member.get(self._nearest_fitted(sampler))
        return None if fitted is None else MemberByMember.from_dict(fitted)

    def _nearest_fitted(self, sampler: Sampler) -> str:
        """Where the card has what is nearest to a sampler's number: both of one, as they were fitted."""
        numbers = [int(key) for key in self.card.calibrated if key != "fast"]
        if sampler.name == "fast" or not numbers:
            return sampler_key(sampler)
        return str(min(numbers, key=lambda n: (abs(n - sampler.evaluations), n)))

    def climate(self, window: Grid) -> Tensor:
        """The residual's climatological mean and log deviation, shape (2, H, W); 0 where unknown."""
        if self.climatology is None:
            return torch.zeros((len(MAPS), *window.shape))
        return self.climatology.on(window)

    def maps(self, history: NDArray[Any], mask: NDArray[Any], coarse: Grid) -> list[Tensor] | None:
        """The encoder's features on the window that it sees, projected to the denoiser's levels.

        Parameters
        ----------
        history, mask : ndarray, shape (B, L, ny, nx)
        coarse : Grid
            Window of the coarse grid, or of the fine one where the encoder sees that.

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

    def predicted(
        self, x_t: Tensor, level: Tensor, seen: Tensor, context: list[Tensor] | None, network: Denoiser
    ) -> Tensor:
        """What one of the model's networks predicts for a condition that was `seen`."""
        again = network.again if hasattr(self.denoiser, "look") else network
        if self.compiling is not None:
            if id(network) not in self._calls:
                self._calls[id(network)] = torch.compile(again, **self.compiling)
            again = self._calls[id(network)]
        prediction: Tensor = again(x_t, level, seen, context)
        return prediction

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: compiled functions are not, and are made again where they are asked for."""
        return self.__dict__ | {"_calls": {}}

    def to(self, device: torch.device | str) -> Downscaler:
        """Move the networks to a device, in place."""
        for network in (self.denoiser, self.encoder, self.fast):
            if network is not None:
                network.to(device)
        return self

    def __repr__(self) -> str:
        weights = sum(p.numel() for p in self.denoiser.parameters())
        return f"<Downscaler {self.card.name} {self.card.version}: {self.card.process}, {weights:,} weights>"

    def _check(self) -> None:
        if self.card.distilled != (self.fast is not None):
            says, there = ("a", "none") if self.card.distilled else ("no", "one")
            raise ValueError(f"the card says that there is {says} second network, and there is {there}")
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


def sampler_key(sampler: Sampler) -> str:
    """Where a card keeps what was fitted for a sampler."""
    return "fast" if sampler.name == "fast" else str(sampler.evaluations)


def _networks(card: Card) -> tuple[Denoiser, Encoder | None, Second | None]:
    parts = card.architecture
    spec = parts["denoiser"]
    if spec is None:
        return Nothing() if parts["climatology"] is None else Climate(), None, None
    denoiser = Denoiser(
        condition=int(spec["condition"]),
        context=tuple(spec["context"]),
        channels=tuple(spec["channels"]),
        blocks=int(spec["blocks"]),
        embedding=int(spec["embedding"]),
    )
    encoder = None
    if parts.get("encoder") is not None:
        encoder = Encoder(int(parts["encoder"]["history"]), tuple(parts["encoder"]["channels"]))
    return denoiser, encoder, Second(denoiser) if card.distilled else None


def _state(denoiser: Denoiser, encoder: Encoder | None, fast: Second | None) -> dict[str, Tensor]:
    networks = {"denoiser": denoiser, "encoder": encoder, "fast": fast}
    return {
        f"{name}.{k}": v
        for name, network in networks.items()
        if network is not None
        for k, v in _weights(network).items()
    }


def _weights(network: torch.nn.Module) -> dict[str, Tensor]:
    """What a file keeps of a network."""
    return network.own() if isinstance(network, Second) else network.state_dict()


def _load(module: torch.nn.Module, part: dict[str, Tensor], prefix: str) -> None:
    wanted = {k: tuple(v.shape) for k, v in _weights(module).items()}
    found = {k: tuple(v.shape) for k, v in part.items()}
    if wanted != found:
        odd = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        raise ValueError(
            f"{prefix}: weights {odd[:3]} are {[found.get(k) for k in odd[:3]]}, "
            f"the card's architecture has {[wanted.get(k) for k in odd[:3]]}"
        )
    module.load_state_dict(part, strict=not isinstance(module, Second))
