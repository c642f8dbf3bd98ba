"""Bad input at the command line: what is said, and that nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DIGITS = ("--experiment_id=digits", "--epochs=2", "--limit_train_samples=64", "--use_cuda=false")

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{earlier}'] * 10)}]\n" for earlier, name in zip("abcdef", "bcdefg", strict=True)
)

pytestmark = pytest.mark.usefixtures("no_pictures")


def nothing_was_written(folder: Path) -> bool:
    return not (folder / "results").exists() and not (folder / "cache").exists()


class TestRefusals:
    """Bad input: one clear line, exit code 2, nothing written."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--experiment_id=digitz"], ["digitz", "did you mean digits?", "mnist"]),
            (["--epochs=2"], ["--experiment_id is required", "mnist"]),
            (["compar"], ['unknown command "compar"', "did you mean compare?"]),
            (["lr_fnd", "digits"], ["did you mean lr-find?"]),
            (["digits"], ['unknown command "digits"', "did you mean --experiment_id=digits?"]),
            (["wibble"], ['unknown command "wibble"; known: resume, runs']),
            ([*DIGITS, "--hiden_sizes=[3]"], ["hiden_sizes", "hidden_sizes"]),
            ([*DIGITS, "--epochs=many"], ["--epochs", "many", "integer"]),
            ([*DIGITS, "--epochs=-1"], ["--epochs", "-1", "greater than or equal to 0"]),
            ([*DIGITS, "--model.dropout=1.5"], ["dropout", "1.5", "less than 1"]),
            ([*DIGITS, "--optimizer=sgd", "--betas=[0.9,0.99]"], ["betas", "adam"]),
            ([*DIGITS, "--optimizer=addam"], ["addam", "adam"]),
            ([*DIGITS, "--config=nowhere.yaml"], ["--config", "nowhere.yaml", "no such file"]),
            (["--config=nowhere.yaml"], ["nowhere.yaml", "no such file"]),
            ([*DIGITS, "--best_model_metric=acuracy"], ["acuracy", "val/accuracy"]),
            ([*DIGITS, "--only_test"], ["--only_test", "--from_checkpoint"]),
            ([*DIGITS, "--from_checkpoint=nowhere"], ["nowhere", "no such checkpoint"]),
            ([*DIGITS, "--results_subdir=../up"], ["results_subdir", "../up"]),
            ([*DIGITS, "--val_fraction=0", "--early_stopping_patience=1"], ["--early_stopping_patience", "validation"]),
            (["--experiment_id=table", "--dataset=csv", "--path=x.csv"], ["--dataset.target", "required"]),
            (["--experiment_id=table", "--dataset=csv", "--path=no.csv", "--target=y"], ["no.csv", "No such file"]),
            (["completion", "fish"], ["bash or zsh"]),
            (["new"], ["new DIR"]),
        ],
    )
    def test_each_is_one_line(
        self, command_line: Callable[..., Any], tmp_path: Path, words: list[str], said: list[str]
    ) -> None:
        ended = command_line(*words)
        assert all(part in ended.error for part in said), ended.error
        assert ended.out == ""
        assert nothing_was_written(tmp_path)

    def test_several_mistakes_are_told_at_once(self, command_line: Callable[..., Any], tmp_path: Path) -> None:
        ended = command_line(*DIGITS, "--epochs=many", "--seed=-1", "--nonsense=1")
        assert ended.code == 2
        assert [flag in ended.err for flag in ("--epochs", "--seed", "--nonsense")] == [True] * 3
        assert nothing_was_written(tmp_path) and not (tmp_path / "config.yaml").exists()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("!!python/object/apply:os.system ['touch trap']", "python/object"),
            (ALIAS_BOMB, "alias"),
            ("[" * 5000, "nested too deeply"),
            ("epochs: 1\nepochs: 2", "twice"),
            ("just text", "key: value"),
        ],
    )
    def test_hostile_or_broken_presets_do_nothing(
        self, command_line: Callable[..., Any], tmp_path: Path, content: str, said: str
    ) -> None:
        (tmp_path / "preset.yaml").write_text(content)
        ended = command_line(*DIGITS, "--config=preset.yaml")
        assert "preset.yaml" in ended.error and said in ended.error
        assert not (tmp_path / "trap").exists() and nothing_was_written(tmp_path)

    @pytest.mark.parametrize("folder", ["file", "file/below", "/proc/results", "/dev/null"])
    def test_results_folder_that_cannot_be_written(
        self, command_line: Callable[..., Any], tmp_path: Path, folder: str
    ) -> None:
        (tmp_path / "file").touch()
        assert "--results_dir" in command_line(*DIGITS, f"--results_dir={folder}").error

    def test_gpu_that_is_not_there(self, command_line: Callable[..., Any], tmp_path: Path) -> None:
        import torch

        if torch.accelerator.is_available():
            pytest.skip("there is one")
        assert "--use_cuda=true" in command_line("--experiment_id=digits", "--use_cuda=true").error
        assert nothing_was_written(tmp_path)

    def test_weights_of_another_model_name_keys_and_shapes(
        self, command_line: Callable[..., Any], tmp_path: Path
    ) -> None:
        other = command_line(*DIGITS, "--epochs=0", "--hidden_sizes=[5, 3]").run
        ended = command_line(*DIGITS, f"--from_checkpoint={other}")
        assert "body.3.weight" in ended.error and "[5, 64]" in ended.error and "[64, 64]" in ended.error
        assert ended.runs == [other]
