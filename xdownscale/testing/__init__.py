"""Whether a checkpoint, ours or a third party's, keeps the promises of `predict`: `check_model`."""

from __future__ import annotations

from xdownscale.testing.conformance import CHECKS, Check, Conformance, check_model
from xdownscale.testing.example import example

__all__ = ["CHECKS", "Check", "Conformance", "check_model", "example"]
