"""The README, pasted from top to bottom as a new user would: no error."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
MAKING = ("make demo", "make test")  # CI runs them


def test_there_is_what_is_promised() -> None:
    assert [kind for kind, _ in BLOCKS] == ["sh", "python", "sh", "python"]
    lines = [line for line in BLOCKS[1][1].splitlines() if line]
    assert len(lines) <= 11, "an example of ten lines, and its import"
    commands = [
        line.partition("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()
    ]
    assert set(MAKING) <= set(commands)


def test_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), names)
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if not words or " ".join(words) in MAKING:
                continue
            assert words[0] == "xdownscale", line
            command = [sys.executable, "-W", "ignore", "-m", "xdownscale.cli", *words[1:]]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    assert "complete and sound, 4 of 4 blocks done" in capsys.readouterr().out
    assert {"fine.nc", "fine.zarr"} == {p.name for p in tmp_path.iterdir()}


def test_links_are_there() -> None:
    folder = Path(__file__).parents[1]
    targets = re.findall(r"\]\(([^)#]+)", README)
    lacking = [t for t in targets if not t.startswith("http") and not (folder / t).exists()]
    assert lacking == []
