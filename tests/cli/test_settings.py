"""Configuration files, names that the shell completes, JSON, and dry runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from xdownscale.cli import main
from xdownscale.cli.settings import MODEL, configured, echo_json, read


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


class TestConfiguration:
    @pytest.fixture
    def command(self) -> click.Command:
        @click.command()
        @click.option("--members", type=click.IntRange(1), default=1)
        @click.option("--domain-check", default="raise")
        @click.option("--overwrite", is_flag=True)
        @configured
        def command(**given: Any) -> None:
            click.echo(json.dumps(given))

        return command

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.toml", 'members = 3\n"domain-check" = "warn"\noverwrite = true\n'),
            ("a.yaml", "members: 3\ndomain_check: warn\noverwrite: true\n"),
            ("a.yml", "{members: 3, domain-check: warn, overwrite: yes}"),
            ("a.json", '{"members": 3, "domain_check": "warn", "overwrite": true}'),
        ],
    )
    def test_formats(self, command: click.Command, tmp_path: Path, name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        found = CliRunner().invoke(command, ["--config", str(tmp_path / name)])
        assert json.loads(found.stdout) == {"members": 3, "domain_check": "warn", "overwrite": True}

    def test_the_command_line_comes_first(self, command: click.Command, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text("members = 3")
        found = CliRunner().invoke(command, ["--members", "5", "--config", str(tmp_path / "a.toml")])
        assert json.loads(found.stdout)["members"] == 5

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.toml", "membrs = 3", "no option is named 'membrs': did you mean 'members'"),
            ("a.toml", "xyzzy = 3", "expected some of ['domain_check', 'members', 'overwrite']"),
            ("a.toml", "config = 'b.toml'", "no option is named 'config'"),
            ("a.toml", "members = 0", "0 is not in the range x>=1"),
            ("a.toml", "members = ", "Invalid value"),
            ("a.yaml", "members: [", "is no YAML"),
            ("a.yaml", "- members", "holds a list: expected an object"),
            ("a.json", "{", "Expecting property name"),
            ("a.ini", "members = 3", "expected a file named .toml, .yaml, .yml or .json"),
            ("absent.toml", None, "No such file"),
        ],
    )
    def test_refused(
        self, command: click.Command, tmp_path: Path, name: str, content: str | None, said: str
    ) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        found = CliRunner().invoke(command, ["--config", str(tmp_path / name)])
        assert found.exit_code == 2
        assert said in " ".join(found.stderr.replace("│", " ").split()), found.stderr

    def test_yaml_makes_no_objects(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("members: !!python/object/apply:os.getcwd []")
        with pytest.raises(ValueError, match="is no YAML"):
            read(tmp_path / "a.yaml")


def test_the_shell_completes_names_of_models() -> None:
    ctx = click.Context(main)
    names = [item.value for item in MODEL.shell_complete(ctx, main.params[0], "j")]
    assert names == ["jja_asia"]
    (file,) = MODEL.shell_complete(ctx, main.params[0], "runs/")
    assert (file.value, file.type) == ("runs/", "file")


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": (float("nan"), float("inf"), 1.5), "b": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5], "b": "x"}


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_ends_with_examples_that_parse(name: str) -> None:
    """Each example of --help names options that the command has."""
    command = main.commands[name]
    lines = [line.split() for line in (command.epilog or "").splitlines() if "xdownscale" in line]
    assert lines, name
    known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    for line in lines:
        assert line[:2] == ["xdownscale", name]
        assert {word for word in line if word.startswith("--")} <= known, line


class TestDryRun:
    def files(self, folder: Path) -> list[str]:
        return sorted(p.name for p in folder.iterdir())

    @pytest.mark.parametrize("target", ["out.nc", "out.zarr"])
    def test_predict(self, folder: Path, target: str) -> None:
        before = self.files(folder)
        arguments = ("predict", folder / "coarse.nc", folder / target, "--model", folder / "tiny.safetensors")
        found = run(*arguments, "--dry-run", "--domain-check", "ignore")
        assert found.exit_code == 0, found.output
        assert f"would write {folder / target}" in found.stdout
        assert "evaluations" in found.stdout
        assert self.files(folder) == before

    def test_predict_refuses_what_it_would_refuse(self, folder: Path) -> None:
        arguments = ("predict", folder / "coarse.nc", folder / "out.nc", "--model", "djf_asia", "--dry-run")
        found = run(*arguments)
        assert found.exit_code == 2
        assert "month" in found.stderr

    def test_training_calibrating_judging_simulating(self, folder: Path) -> None:
        before = self.files(folder)
        coarse, fine, tiny = folder / "coarse.nc", folder / "truth.nc", folder / "tiny.safetensors"
        pair = ("--coarse", coarse, "--fine", fine)
        for arguments, said in (
            (("pretrain", folder / "e.safetensors", "--coarse", coarse), "2 time x 11 lat x 11 lon"),
            (("train", folder / "m.safetensors", "--start", tiny, *pair), "fine record 2 time x"),
            (("calibrate", tiny, folder / "c.safetensors", *pair), "its last 2 days"),
            (("evaluate", tiny, "--coarse", coarse, "--truth", fine), "would draw 2 days x 16 members"),
            (("nature-run", folder / "run.zarr", "--days", 3), "3 days of 736 x 1616 fine cells"),
        ):
            found = run(*arguments, "--dry-run")
            assert found.exit_code == 0, found.output
            assert said in found.stdout
        assert self.files(folder) == before


class TestJson:
    def test_explain(self, folder: Path) -> None:
        found = run("explain", folder / "coarse.nc", "--model", folder / "tiny.safetensors", "--json")
        plan = json.loads(found.stdout)
        assert plan["days"] == 2
        assert plan["evaluations"] == plan["sampler"]["evaluations"] == 4
        assert plan["fine"]["y"]["step"] == 0.0625
        assert plan["block_bytes"] > plan["output_bytes"] > 0

    def test_models(self) -> None:
        cards = json.loads(run("models", "--json").stdout)
        assert {"djf_asia", "jja_asia", "mam_asia", "son_asia"} <= set(cards)
        assert json.loads(run("models", "jja_asia", "--json").stdout) == cards["jja_asia"]

    def test_verify(self, folder: Path) -> None:
        arguments = ("--model", folder / "tiny.safetensors", "--domain-check", "ignore", "--evaluations", 2)
        assert run("predict", folder / "coarse.nc", folder / "a.zarr", *arguments).exit_code == 0
        report = json.loads(run("verify", folder / "a.zarr", "--json").stdout)
        assert (report["complete"], report["done"], report["damaged"]) == (True, 1, [])
        (folder / "a.zarr/DUEXTTAU/c/0/0/0/0").unlink()
        found = run("verify", folder / "a.zarr", "--json")
        assert found.exit_code == 1
        assert json.loads(found.stdout)["damaged"] == ["block (0, 0) is missing"]


def test_a_configuration_of_predict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("season.toml").write_text('model = "tiny.safetensors"\nmembers = 2\ndomain_check = "ignore"\n')
    found = run("explain", "coarse.nc", "--config", "season.toml", "--json")
    assert json.loads(found.stdout)["members"] == 2
