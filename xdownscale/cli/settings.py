"""What commands share: configuration files, names of models, ``--json`` and ``--dry-run``."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from click.shell_completion import CompletionItem

    _Text = click.ParamType[str]
    _Count = click.ParamType[int | str]
else:
    _Text = _Count = click.ParamType  # older releases of click know no parameter of the type

__all__ = [
    "EVALUATIONS",
    "MODEL",
    "as_json",
    "check_names",
    "configured",
    "dry_run",
    "echo_json",
    "example",
    "read",
]


class _Model(_Text):
    """A name or a path; the shell completes names, and files where no name fits."""

    name = "model"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from xdownscale.registry import list_models

        fitting = [CompletionItem(name) for name in list_models() if name.startswith(incomplete)]
        return fitting or [CompletionItem(incomplete, type="file")]


class _Evaluations(_Count):
    """A number of evaluations, or `fast`."""

    name = "number|fast"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """As `Downscaler.sampler_of` wants it."""
        return "fast" if value == "fast" else int(click.IntRange(1).convert(value, param, ctx))


MODEL = _Model()
EVALUATIONS = _Evaluations()
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
dry_run = click.option(
    "--dry-run", is_flag=True, help="Check everything, say what would be done, and do nothing."
)


def example(*lines: str) -> str:
    """An epilogue of `--help`: command lines that work."""
    return "\b\nExamples:\n" + "\n".join(f"  xdownscale {line}" for line in lines)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--config FILE``: values for the command's own options, which the command line overrides."""
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_as_defaults,
        help="TOML, YAML or JSON file with values for options, by their long names.",
    )
    return option(command)


def _as_defaults(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    options = sorted(
        str(p.name) for p in ctx.command.params if isinstance(p, click.Option) and p is not param
    )
    try:
        content = {str(k).replace("-", "_"): v for k, v in read(path).items()}
        check_names(path, content, options)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), ctx, param) from error
    ctx.default_map = content


def check_names(path: Path, content: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that stand for nothing.

    Raises
    ------
    ValueError
        Lists them, with what may have been meant.
    """
    known = list(known)
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(map(repr, near))}" if near else f"expected some of {known}"
            raise ValueError(f"{path}: no option is named {name!r}: {hint}")


def read(path: Path) -> dict[str, Any]:
    """A table of named values from a TOML, YAML or JSON file, by its suffix.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is none, or holds no table.
    """
    text, suffix = path.read_text(encoding="utf-8"), path.suffix.lower()
    if suffix == ".toml":
        content: Any = tomllib.loads(text)
    elif suffix in (".yaml", ".yml"):
        import yaml

        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from error
    elif suffix == ".json":
        content = json.loads(text)
    else:
        raise ValueError(f"{path}: expected a file named .toml, .yaml, .yml or .json")
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}: expected an object of named fields")
    return content


def echo_json(content: Any) -> None:
    """Print JSON; what is not finite becomes null, as JSON has it."""
    click.echo(json.dumps(_plain(content), indent=1, allow_nan=False))


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(k): _plain(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(v) for v in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Path):
        return str(content)
    return content
