"""Models without a network, as files and arguments like any other: what a trained model must be better than.

A baseline is T_x^-1(U T_y(y)) on the grids of another model. Interpolation has T_x = T_y, the other model's
transform; quantile mapping has the coarse record's normal scores as T_y and those of the fine one as T_x.
The climatology adds to the interpolated field what the residual is like in the season, cell by cell: its
mean, and noise of its spectrum and deviation. That much is known of the detail without a look at the day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xdownscale.grid import INTERPOLATIONS
from xdownscale.models.downscaler import Downscaler
from xdownscale.nn.denoiser import Climate
from xdownscale.noise import Spectrum
from xdownscale.scaling import Quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from xdownscale.models.card import Card
    from xdownscale.scaling import Scaling

__all__ = ["climatology", "interpolation", "quantile_mapping"]


def interpolation(name: str, like: Card) -> Downscaler:
    """Interpolation in the transform of a model, on its grids.

    Parameters
    ----------
    name : {"nearest", "bilinear", "bicubic", "conservative"}
    like : Card
        Whose quantity, grids, region, months and transform are taken.

    Returns
    -------
    Downscaler
        Every draw of it is the same field.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {name!r}: expected one of {sorted(INTERPOLATIONS)}")
    return _plain(name, INTERPOLATIONS[name], like, like.scaling, f"nothing: {name} interpolation")


def quantile_mapping(like: Card, coarse: ArrayLike, fine: ArrayLike) -> Downscaler:
    """Bicubic interpolation of normal scores, given back with the fine record's distribution.

    Parameters
    ----------
    like : Card
        Whose quantity, grids, region and months are taken.
    coarse, fine : array-like [units of the card]
        Values to learn the two distributions from; gaps are left out.

    Returns
    -------
    Downscaler
    """
    scaling: Scaling = Quantile.fit(coarse, fine)
    data = f"quantiles of the days that {like.name} was trained on: {like.training['data']}"
    return _plain("quantile_mapping", "cubic", like, scaling.to_dict(), data[:500])


def climatology(like: Downscaler) -> Downscaler:
    """The residual's climatology of a model, drawn without its network.

    Parameters
    ----------
    like : Downscaler
        Of the process `flow`, with the static map `climatology`.

    Returns
    -------
    Downscaler
        Its draws are m + exp(d) e with the mean m and log deviation d of the residual over the model's
        training days and noise e of its spectrum; one evaluation.

    Raises
    ------
    ValueError
        If the model carries no climatology, or has another process.
    """
    if like.climatology is None or like.card.process != "flow":
        raise ValueError(
            f"{like.card.name} is of the process {like.card.process!r} with the static maps "
            f"{list(like.card.statics)}: expected 'flow' and a climatology among the maps"
        )
    data = (
        f"the residual's climate on the days that {like.card.name} learned from: {like.card.training['data']}"
    )
    card = replace(
        _card("climatology", like.card.upsampling, like.card, like.card.scaling, data[:500]),
        architecture={"encoder": None, "denoiser": None, "climatology": like.climatology.to_dict()},
        statics=("climatology",),
        process="flow",
        sampler={"name": "euler", "evaluations": 1},
        residual_scale=like.card.residual_scale,
        spectrum=like.card.spectrum,
        limitations=("A baseline: it does not look at the day beyond its coarse field.",),
    )
    return Downscaler(card, Climate(), climatology=like.climatology)


def _plain(name: str, method: str, like: Card, scaling: dict[str, object], data: str) -> Downscaler:
    return Downscaler.build(_card(name, method, like, scaling, data))


def _card(name: str, method: str, like: Card, scaling: dict[str, object], data: str) -> Card:
    return replace(
        like,
        name=name,
        scaling=scaling,
        upsampling=method,
        training={"data": data, "synthetic": like.synthetic and name in ("climatology", "quantile_mapping")},
        encoder_digest=None,
        architecture={"encoder": None, "denoiser": None, "climatology": None},
        statics=(),
        process="regression",
        sampler={"name": "direct", "evaluations": 1},
        residual_scale=1.0,
        spectrum=Spectrum.white().to_dict(),
        state=False,
        day_correlation=0.0,
        state_correlation=0.0,
        times={},
        inflation={},
        member_by_member={},
        scores=(),
        limitations=("A baseline: no small scales are added.",),
        distilled=False,
    )
