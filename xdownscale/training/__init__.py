"""Both stages of training, and the calibration of what comes out."""

from xdownscale.training.config import PretrainConfig, TrainConfig
from xdownscale.training.denoiser import train
from xdownscale.training.encoder import Pretrained, pretrain

__all__ = ["PretrainConfig", "Pretrained", "TrainConfig", "pretrain", "train"]
