"""``python -m xdownscale.cli``."""

from __future__ import annotations

from xdownscale.cli import main

main()
