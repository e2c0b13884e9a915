"""What a training may be told."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from xdownscale.training import PretrainConfig, TrainConfig


class TestPretrainConfig:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"steps": 0}, "steps is 0: expected at least 1"),
            ({"batch": -2}, "batch is -2: expected at least 1"),
            ({"crop": 4}, "crop is 4: expected at least 8"),
            ({"crop": 50}, "crop is 50: expected a multiple of 4"),
            ({"history": 0}, "history is 0: expected at least 1"),
            ({"seed": -1}, "seed is -1: expected at least 0"),
            ({"pretext": "guess"}, r"pretext is 'guess': expected one of \['next', 'refine', 'masked'\]"),
        ],
    )
    def test_refuses(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            PretrainConfig(**change)

    def test_smallest(self) -> None:
        config = PretrainConfig(steps=1, batch=1, crop=8, history=1)
        assert (config.crop, config.history, config.dropout) == (8, 1, 0.3)


class TestTrainConfig:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"steps": 0}, "steps is 0: expected at least 1"),
            ({"days": 0}, "days is 0: expected at least 1"),
            ({"crop": 8}, "crop is 8: expected at least 16"),
            ({"crop": 100}, "crop is 100: expected a multiple of 8"),
            ({"roughness": -0.5}, "roughness is -0.5: expected at least 0"),
            ({"border": -8}, "border is -8: expected at least 0"),
            ({"batch": 10}, "batch is 10: expected a multiple of days, 4"),
            ({"border": 48}, "border is 48: expected less than half of the crop, 96"),
            ({"sees": "stars"}, r"sees is 'stars': expected one of \['coarse', 'fine', 'upsampled'\]"),
            (
                {"sees": "fine", "transfer": "none"},
                "sees is 'fine' and transfer 'none': there is no encoder to see it; expected .*",
            ),
            (
                {"sees": "fine", "state": 0.5},
                "sees is 'fine' and state 0.5: the fine history tells the day before already; expected .*",
            ),
        ],
    )
    def test_refuses(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            TrainConfig(**change)

    def test_widest_border(self) -> None:
        assert TrainConfig(crop=96, border=47).border == 47

    def test_is_a_value(self) -> None:
        config = TrainConfig(steps=7)
        assert config == TrainConfig(steps=7)
        assert hash(config) == hash(replace(config, steps=7))
        with pytest.raises(FrozenInstanceError):
            config.steps = 8  # type: ignore[misc]


@pytest.mark.parametrize("config", [PretrainConfig(steps=5), TrainConfig(channels=(8, 8, 8), crop=32)])
def test_to_dict_is_json_and_whole(config: PretrainConfig | TrainConfig) -> None:
    text = json.dumps(config.to_dict())
    back = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()}
    assert type(config)(**back) == config
