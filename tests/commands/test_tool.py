"""What the commands have in common that try an experiment out: the experiment, its flags and their own."""

from collections.abc import Callable
from typing import Any

import pytest

from labwright.args import ExperimentArgs

from ..conftest import Ended

CommandLine = Callable[..., Ended]


def test_help_names_the_flags_of_the_command_and_of_the_experiment(command_line: CommandLine) -> None:
    ended = command_line("bench", "--help")
    assert ended.out.startswith("usage: run.py bench ID [--flag=value ...]\n\nCompare the training of an experiment ")
    ended = command_line("batch-find", "digits", "--help")
    assert ended.out.startswith(
        "usage: run.py batch-find digits [--flag=value ...]\n\nTrain a few steps with ever larger"
    )
    assert "--memory_limit" in ended.out and "--model.hidden_sizes" in ended.out and "--use_cuda" in ended.out
    assert "--run_name" not in ended.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["lr-find"], "lr-find: name an experiment: run.py lr-find ID; known: mnist, fashion_mnist, digits, table, "),
        (["lr-find", "digit"], "lr-find: 'digit' is not registered; did you mean digits?"),
        (["lr_find", "digits", "--lowest_rate=20"], "highest_rate=10 must be above lowest_rate=20"),
        (["bench", "digits", "--resume=last"], "--resume: unknown flag"),
        (["bench", "digits", "--second=1"], "--second: unknown flag; did you mean --seconds?"),
        (["bench", "digits", "--model.hidden_sizes=x"], "--model.hidden_sizes[0]: "),
        (
            ["lr-find", "digits", "--output=a.txt"],
            "--output=a.txt: must be a .png, .pdf, .svg file in a folder that is",
        ),
    ],
)
def test_what_is_wrong_is_one_line(command_line: CommandLine, words: list[str], error: str) -> None:
    assert command_line(*words).error.startswith(error)


def test_several_processes_are_refused(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert command_line("bench", "digits").error == "bench: it tries one process; start it without torchrun"


def test_a_field_that_the_command_has_too_is_named(command_line: CommandLine, points_args: Any) -> None:
    class TimedArgs(points_args):
        seconds: float = 1.0

    error = command_line("bench", experiments=TimedArgs).error
    assert error == "bench: BenchOptions and TimedArgs both have the field seconds; rename one"


def test_the_experiment_may_be_named_by_a_flag_by_a_file_or_be_the_only_one(
    command_line: CommandLine, tmp_path: Any
) -> None:
    (tmp_path / "preset.yaml").write_text("experiment_id: digits\nbatch_size: 7\n")
    for words in (["--experiment_id=digits", "--batch_size=7"], ["--config=preset.yaml"]):
        shown = command_line("lr-find", *words, "--print_config").out
        assert "\nexperiment_id: digits" in f"\n{shown}" and "batch_size: 7" in shown

    class OnlyArgs(ExperimentArgs):
        """The only one."""

    assert "experiment_id: only" in command_line("bench", "--print_config", experiments=OnlyArgs).out
