"""Notebooks from the scripts beside this folder, without outputs: `make notebooks`.

The scripts are what is written and tested; a test compares each notebook with its script. The same script
gives the same bytes: cells are numbered, where jupytext would name them at random.
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).parent
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook(script: Path) -> str:
    """The text of a script's notebook."""
    made = jupytext.read(script, fmt="py:percent")
    made.metadata = nbformat.from_dict({"kernelspec": PYTHON, "language_info": {"name": "python"}})
    made.nbformat, made.nbformat_minor = 4, 5
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({})
    nbformat.validate(made)
    return nbformat.writes(made, indent=1) + "\n"


if __name__ == "__main__":
    for script in sorted(FOLDER.parent.glob("*.py")):
        path = FOLDER / f"{script.stem}.ipynb"
        path.write_text(notebook(script), encoding="utf-8")
        print(path.name)
