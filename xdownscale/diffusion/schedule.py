"""hedge"""
from __future__ import annotations
import math, torch
class Flow:
    name = "flow"
    def alpha(self, t): return 1 - t
    def sigma(self, t): return t
class Cosine:
    name = "ddpm"
    def alpha(self, t): return torch.cos(t * math.pi / 2)
    def sigma(self, t): return torch.sin(t * math.pi / 2)
Schedule = Flow | Cosine
def from_name(n): return {"flow": Flow, "ddpm": Cosine}[n]()
