"""`labwright.run`: the command line from Python, but silent and without exits."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import SecretStr

import labwright
from lab.experiments.digits import DigitsArgs
from lab.registry import EXPERIMENTS
from labwright import MachineConfig, RunResult
from labwright.args import Args
from labwright.args.errors import ArgsError, UserError
from labwright.models import MLPArgs
from labwright.project import registry_of_project
from labwright.runs import open_run

TINY: dict[str, Any] = {"epochs": 1, "limit_train_samples": 60, "use_cuda": False}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def digits(no_pictures: None) -> Callable[..., RunResult]:
    """A tiny run with some settings changed: `digits(seed=1)`, or `digits({"model.hidden_sizes": [4]})`."""

    def run(changes: dict[str, Any] | None = None, **more: Any) -> RunResult:
        return labwright.run("digits", {**TINY, **(changes or {}), **more}, experiments=EXPERIMENTS)

    return run


def args_of(result: RunResult) -> dict[str, Any]:
    return open_run(result.run_dir).args()


class TestResult:
    def test_it_says_what_the_run_came_to(self, digits: Callable[..., RunResult], tmp_path: Path) -> None:
        result = digits(epochs=2)
        assert isinstance(result, RunResult)
        assert (result.experiment_id, result.epochs, result.best_metric) == ("digits", 2, "val/loss")
        assert 0 < result.test["accuracy"] <= 1 and result.val.keys() == {"loss", "accuracy"}
        assert result.run_dir.parent == tmp_path / "results" / "digits"
        assert open_run(result.run_dir).record()["result"] == result.to_json()

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        labwright.run("digits", {**TINY, "json": True}, experiments=EXPERIMENTS)
        assert capfd.readouterr() == ("", "")

    def test_it_repeats_the_command_line(self, digits: Callable[..., RunResult], command_line: Any) -> None:
        words = ("--epochs=1", "--limit_train_samples=60", "--use_cuda=false", "--seed=4")
        typed = command_line("--experiment_id=digits", *words)
        from_python = digits(seed=4)
        weights = [(run / "model.safetensors").read_bytes() for run in (typed.run, from_python.run_dir)]
        assert weights[0] == weights[1]

    def test_command_sh_repeats_it(self, digits: Callable[..., RunResult]) -> None:
        result = digits(tags=["a b", "c"])
        script = (result.run_dir / "command.sh").read_text()
        assert "labwright.run" in script and "a b" in script

    def test_a_second_run_starts_from_the_first(self, digits: Callable[..., RunResult]) -> None:
        teacher = digits()
        student = digits(from_checkpoint=teacher.run_dir, epochs=0)
        assert student.test == teacher.test


class TestNames:
    def test_dotted_and_short_names_mean_the_same(self, digits: Callable[..., RunResult]) -> None:
        short, dotted = digits(hidden_sizes=[4]), digits({"model.hidden_sizes": [4]})
        assert args_of(short) == args_of(dotted)
        assert args_of(short)["model"]["hidden_sizes"] == [4]

    def test_variant_and_its_fields_come_in_any_order(self, digits: Callable[..., RunResult]) -> None:
        result = digits({"momentum": 0.5, "optimizer": "sgd"})
        assert args_of(result)["optimizer"]["momentum"] == 0.5

    def test_a_part_may_be_given_whole(self, digits: Callable[..., RunResult]) -> None:
        result = digits(model=MLPArgs(hidden_sizes=[3, 2], activation="tanh"))
        assert args_of(result)["model"]["hidden_sizes"] == [3, 2]
        assert args_of(result)["model"]["activation"] == "tanh"

    def test_options_and_machine_are_changes_too(self, digits: Callable[..., RunResult], tmp_path: Path) -> None:
        result = digits(results_dir=tmp_path / "elsewhere", run_name="a name, with = and --", predictions="none")
        assert result.run_dir.is_relative_to(tmp_path / "elsewhere")
        assert open_run(result.run_dir).record()["options"]["run_name"] == "a name, with = and --"
        assert not (result.run_dir / "predictions").exists() and not (tmp_path / "results").exists()

    def test_debug_is_one_of_them(self, digits: Callable[..., RunResult]) -> None:
        assert digits(debug=True).debug

    @pytest.mark.parametrize("none", [None, "none", "null"])
    def test_none_switches_off(self, digits: Callable[..., RunResult], none: str | None) -> None:
        assert args_of(digits(early_stopping_patience=none))["early_stopping_patience"] is None

    def test_config_yaml_and_environment_count(
        self, digits: Callable[..., RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config.yaml").write_text("results_dir: from_config\n")
        assert digits().run_dir.is_relative_to(tmp_path / "from_config")
        monkeypatch.setenv("LABWRIGHT_RESULTS_DIR", "from_environment")
        assert digits().run_dir.is_relative_to(tmp_path / "from_environment")


class TestExperiments:
    def test_args_class_needs_no_registry(self, no_pictures: None) -> None:
        result = labwright.run(DigitsArgs, {**TINY, "seed": 2})
        assert result.experiment_id == "digits" and args_of(result)["seed"] == 2

    def test_registry_is_that_of_the_nearest_pyproject(
        self, no_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.labwright]\nregistry = "lab.registry:EXPERIMENTS"\n')
        monkeypatch.setattr(sys, "path", [*sys.path])
        assert labwright.run("digits", TINY).experiment_id == "digits"

    def test_machine_may_be_the_labs_own(self, no_pictures: None) -> None:
        class LabConfig(MachineConfig):
            microscope: str = "none"

        changes = {**TINY, "microscope": "left"}
        result = labwright.run("digits", changes, experiments=EXPERIMENTS, machine=LabConfig)
        assert open_run(result.run_dir).record()["machine"]["microscope"] == "left"


class TestErrors:
    def test_all_wrong_settings_are_in_one_error(self, digits: Callable[..., RunResult], tmp_path: Path) -> None:
        with pytest.raises(ArgsError) as refused:
            digits(epochs="many", hidden_sizs=[4])
        assert len(refused.value.lines) == 2
        assert "--epochs" in str(refused.value) and "hidden_sizes" in str(refused.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("value", [{"learning_rate": -1}, {"model": "cnnn"}, {"seed": 1.5}, {"use_cuda": "maybe"}])
    def test_value_that_does_not_fit_raises(self, digits: Callable[..., RunResult], value: dict[str, Any]) -> None:
        with pytest.raises(ArgsError, match=next(iter(value))):
            digits(value)

    @pytest.mark.parametrize("name", ["help", "h", "print_config"])
    def test_what_only_a_terminal_can_show_is_refused(self, digits: Callable[..., RunResult], name: str) -> None:
        with pytest.raises(UserError, match="for the command line only"):
            digits({name: True})

    @pytest.mark.parametrize("name", ["experiment_id", "experiment-id"])
    def test_id_is_no_change(self, digits: Callable[..., RunResult], tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError, match="which experiment to run is the first argument"):
            digits({name: "table"})
        assert list(tmp_path.iterdir()) == []

    def test_unknown_id_names_the_nearest(self) -> None:
        with pytest.raises(UserError, match="did you mean digits"):
            labwright.run("digts", experiments=EXPERIMENTS)

    def test_no_registry_anywhere_is_said(self) -> None:
        with pytest.raises(UserError, match="no pyproject.toml here or above"):
            labwright.run("digits")

    def test_what_the_run_refuses_raises_too(self, digits: Callable[..., RunResult], tmp_path: Path) -> None:
        with pytest.raises(UserError, match="needs weights"):
            digits(only_test=True)
        assert not (tmp_path / "results").exists()

    @pytest.mark.usefixtures("no_pictures")
    def test_a_failure_within_the_run_is_what_it_is(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(*args: Any) -> None:
            raise ZeroDivisionError("in the middle")

        monkeypatch.setattr("labwright.experiment.Experiment.train_batch", fail)
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            labwright.run("digits", TINY, experiments=EXPERIMENTS)
        [run] = (tmp_path / "results" / "digits").iterdir()
        assert open_run(run).record()["status"] == "failed"


def test_nothing_of_the_process_is_changed(digits: Callable[..., RunResult], tmp_path: Path) -> None:
    def process() -> dict[str, Any]:
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        return {
            "handlers": [signal.getsignal(number) for number in numbers],
            "folder": os.getcwd(),
            "argv": [*sys.argv],
            "path": [*sys.path],
            "environment": dict(os.environ),
            "streams": (sys.stdout, sys.stderr),
            "threads": torch.get_num_threads(),
            "gradients": torch.is_grad_enabled(),
        }

    before = process()
    digits()
    assert process() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # not even a config.yaml


class Vault(Args):
    """A part with something to hide."""

    key: SecretStr = SecretStr("")
    keys: dict[str, SecretStr] = {}


class SecretiveArgs(DigitsArgs):
    """Digits behind a door."""

    password: SecretStr | None = None
    vault: Vault = Vault()


class TestValues:
    """Python's values arrive as what they are, though they are spelled as flags."""

    @pytest.mark.parametrize("epochs", [np.int64(1), np.array(1), torch.tensor(1)], ids=["int64", "array", "tensor"])
    def test_numbers_of_numpy_and_torch_are_numbers(self, digits: Callable[..., RunResult], epochs: Any) -> None:
        assert args_of(digits(epochs=epochs))["epochs"] == 1

    def test_numbers_and_arrays_may_be_in_lists_and_parts(self, digits: Callable[..., RunResult]) -> None:
        sizes = [np.int64(4), torch.tensor(3)]
        assert args_of(digits(hidden_sizes=sizes))["model"]["hidden_sizes"] == [4, 3]
        assert args_of(digits(model={"hidden_sizes": np.array([4, 3])}))["model"]["hidden_sizes"] == [4, 3]

    @pytest.mark.parametrize("value", [object(), [object()], b"\xff"], ids=["object", "list", "bytes"])
    def test_value_that_no_flag_can_say_is_refused_by_name(
        self, digits: Callable[..., RunResult], value: object
    ) -> None:
        with pytest.raises(UserError, match="'run_name' cannot be written as a flag"):
            digits(run_name=value)

    @pytest.mark.parametrize("text", ["true", "1", "[1, 2]", '"quoted"', "nan", ""])
    def test_texts_that_read_as_something_else_stay_texts(self, digits: Callable[..., RunResult], text: str) -> None:
        assert open_run(digits(run_name=text).run_dir).record()["options"]["run_name"] == text

    def test_secrets_arrive_and_stay_out_of_the_files(self, no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []
        build = SecretiveArgs.build

        def look(args: SecretiveArgs, machine: MachineConfig) -> Any:
            seen.append(args)
            return build(args, machine)

        monkeypatch.setattr(SecretiveArgs, "build", look)
        vault = Vault(key=SecretStr("opensesame"), keys={"back": SecretStr("rosebud")})
        result = labwright.run(SecretiveArgs, {**TINY, "password": SecretStr("swordfish"), "vault": vault})
        assert seen[0].password.get_secret_value() == "swordfish" and seen[0].vault == vault
        files = [path.read_bytes() for path in result.run_dir.rglob("*") if path.is_file()]
        secrets = (b"swordfish", b"opensesame", b"rosebud")
        assert len(files) > 5 and not [secret for secret in secrets for file in files if secret in file]


def test_registry_of_the_project_is_found_again_without_a_longer_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.labwright]\nregistry = "lab.registry:EXPERIMENTS"\n')
    monkeypatch.setattr(sys, "path", [*sys.path])
    registry_of_project()
    once = [*sys.path]
    registry_of_project()
    assert sys.path == once and once[:2] == [str(tmp_path / "src"), str(tmp_path)]


def test_run_is_continued_with_only_what_changed_given(digits: Callable[..., RunResult], tmp_path: Path) -> None:
    first = digits(batch_size=20)
    more = labwright.run("digits", {"resume": str(first.run_dir), "epochs": 3}, experiments=EXPERIMENTS)
    assert (more.run_dir, more.epochs) == (first.run_dir, 3)
    assert args_of(more)["batch_size"] == 20
