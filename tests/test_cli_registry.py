"""How the command line finds experiments."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DIGITS = ("--experiment_id=digits", "--epochs=2", "--limit_train_samples=64", "--use_cuda=false")

pytestmark = pytest.mark.usefixtures("no_pictures")


def with_source() -> dict[str, str]:
    """This environment, with the source tree importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


class TestFindingExperiments:
    def test_alone_it_lists_experiments_and_commands(self, command_line: Callable[..., Any]) -> None:
        ended = command_line()
        assert ended.code == 0
        for text in ("mnist", "Handwritten digits", "table", "completion", "new DIR", "--experiment_id=ID"):
            assert text in ended.out

    def test_registry_of_one_lists_it_too_and_flags_mean_it(self, command_line: Callable[..., Any]) -> None:
        """A new lab has one experiment, and `python run.py` alone trained it."""
        registry = {"mine": "lab.experiments.digits:DigitsArgs"}
        assert "mine" in command_line(experiments=registry).out
        assert command_line("--epochs=0", experiments=registry).run.parent.name == "mine"

    def test_id_may_come_from_a_preset_or_the_environment(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "preset.yaml").write_text("experiment_id: digits\nepochs: 0\nmodel:\n  hidden_sizes: [3]\n")
        assert command_line("--config=preset.yaml").run.parent.name == "digits"
        monkeypatch.setenv("LABWRIGHT_EXPERIMENT_ID", "digits")
        assert command_line("--epochs=0").run.parent.name == "digits"

    def test_broken_experiment_does_not_break_the_others(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lab.registry import EXPERIMENTS

        (tmp_path / "broken_experiment.py").write_text("import a_package_that_is_not_there\n")
        monkeypatch.syspath_prepend(tmp_path)
        registry = {**EXPERIMENTS, "broken": "broken_experiment:BrokenArgs", "gone": "labwright.args:Nothing"}
        listed = command_line(experiments=registry)
        assert listed.code == 0
        assert "broken: ModuleNotFoundError" in listed.out and "Handwritten digits" in listed.out
        assert command_line(*DIGITS, "--epochs=0", experiments=registry).run
        assert "has no Nothing" in command_line("--experiment_id=gone", experiments=registry).error

    def test_completion_knows_commands_and_ids(self, command_line: Callable[..., Any]) -> None:
        for shell in ("bash", "zsh"):
            script = command_line("completion", shell).out
            assert "fashion_mnist" in script and "completion" in script
            assert "--hidden_sizes" in command_line("completion", shell, "--experiment_id=mnist").out

    @pytest.mark.slow
    def test_single_file_runs_itself_and_importing_it_runs_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "own.py").write_text(
            textwrap.dedent(
                """
                from lab.experiments.digits import DigitsArgs
                from labwright import Experiment, main

                class OwnDigitsArgs(DigitsArgs):
                    "Digits, my way."
                    epochs: int = 0

                if __name__ == "__main__":
                    main(OwnDigitsArgs)
                """
            )
        )
        environment = with_source()
        subprocess.run([sys.executable, "-c", "import own"], cwd=tmp_path, env=environment, check=True)
        assert not (tmp_path / "config.yaml").exists()
        subprocess.run([sys.executable, "own.py"], cwd=tmp_path, env=environment, check=True, capture_output=True)
        [run] = tmp_path.glob("results/own_digits/*")
        (tmp_path / "elsewhere").mkdir()
        subprocess.run(
            [run / "command.sh"], cwd=tmp_path / "elsewhere", env=environment, check=True, capture_output=True
        )
        assert len(list(run.parent.iterdir())) == 2

    @pytest.mark.slow
    def test_installed_program_finds_the_registry_of_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.labwright]\nregistry = "mylab.registry:EXPERIMENTS"\n')
        (tmp_path / "src" / "mylab").mkdir(parents=True)
        (tmp_path / "src" / "mylab" / "registry.py").write_text(
            'EXPERIMENTS = {"mine": "lab.experiments.digits:DigitsArgs"}\n'
        )
        (tmp_path / "notes").mkdir()
        command = [sys.executable, "-m", "labwright"]
        environment = with_source()
        listed = subprocess.run(
            command, cwd=tmp_path / "notes", env=environment, capture_output=True, text=True, check=True
        )
        assert "usage: labwright" in listed.stdout and "mine" in listed.stdout
        words = ["--experiment_id=mine", "--epochs=0", "--limit_train_samples=50"]
        subprocess.run([*command, *words], cwd=tmp_path / "notes", env=environment, check=True, capture_output=True)
        [run] = tmp_path.glob("results/mine/*")
        subprocess.run([run / "command.sh"], cwd="/", env=environment, check=True, capture_output=True)
        assert len(list(run.parent.iterdir())) == 2

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "labwright new DIR"),
            ("[tool.labwright", "not valid TOML"),
            ("[tool.other]", "[tool.labwright] registry"),
            ('[tool.labwright]\nregistry = "not_there_at_all:EXPERIMENTS"', "not_there_at_all"),
        ],
    )
    def test_project_without_a_registry_is_told_how_to_get_one(
        self, tmp_path: Path, content: str | None, said: str, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from labwright.cli import main

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*sys.path])
        if content is not None:
            (tmp_path / "pyproject.toml").write_text(content)
        with pytest.raises(SystemExit) as ended:
            main(argv=["--experiment_id=mnist"])
        assert ended.value.code == 2 and said in capsys.readouterr().err


def test_help_and_version_are_answered_where_there_is_no_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labwright.cli import main

    monkeypatch.chdir(tmp_path)
    for word, said in (("--help", "make one with:"), ("--version", "0.")):
        with pytest.raises(SystemExit) as ended:
            main(argv=[word])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out
