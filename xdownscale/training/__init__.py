"""Training: the encoder on a long coarse record, the denoiser on pairs, a second one for two evaluations."""

from xdownscale.training.config import PretrainConfig, TrainConfig
from xdownscale.training.denoiser import train
from xdownscale.training.distillation import distil
from xdownscale.training.encoder import Pretrained, pretrain

__all__ = ["PretrainConfig", "Pretrained", "TrainConfig", "distil", "pretrain", "train"]
