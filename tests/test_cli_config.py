"""config.yaml as the command line writes and reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from labwright.args import MachineConfig

DIGITS = ("--experiment_id=digits", "--epochs=2", "--limit_train_samples=64", "--use_cuda=false")

pytestmark = pytest.mark.usefixtures("no_pictures")


def nothing_was_written(folder: Path) -> bool:
    return not (folder / "results").exists() and not (folder / "cache").exists()


class TestConfig:
    def test_it_is_written_once_with_one_line_and_the_run_goes_on(
        self, command_line: Callable[..., Any], tmp_path: Path
    ) -> None:
        first = command_line(*DIGITS, "--epochs=0")
        config = tmp_path / "config.yaml"
        assert first.run
        assert [line for line in first.err.splitlines() if str(config) in line and "wrote" in line]
        assert yaml.safe_load(config.read_text())["results_dir"] == "results"
        config.write_text("results_dir: elsewhere\n")
        second = command_line(*DIGITS, "--epochs=0")
        assert "config.yaml" not in second.err and config.read_text() == "results_dir: elsewhere\n"
        assert list(tmp_path.glob("elsewhere/digits/*/run.json"))

    def test_help_and_mistakes_and_print_config_do_not_write_it(
        self, command_line: Callable[..., Any], tmp_path: Path
    ) -> None:
        assert command_line().code == 0
        assert command_line(*DIGITS, "--help").code == 0
        assert command_line(*DIGITS, "--epochs=x").code == 2
        assert command_line(*DIGITS, "--print_config").code == 0
        assert list(tmp_path.iterdir()) == []

    def test_defaults_serve_where_it_cannot_be_written(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = Path.open

        def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
            if self.name == "config.yaml":
                raise PermissionError(13, "Permission denied")
            return opened(self, *args, **kwargs)

        monkeypatch.setattr(Path, "open", refuse)
        ended = command_line(*DIGITS, "--epochs=0")
        assert ended.run and not (tmp_path / "config.yaml").exists()
        assert "config.yaml cannot be written (Permission denied)" in ended.err

    def test_flag_beats_environment_beats_file(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config.yaml").write_text("results_dir: file\n")
        command_line(*DIGITS, "--epochs=0")
        monkeypatch.setenv("LABWRIGHT_RESULTS_DIR", "environment")
        ended = command_line(*DIGITS, "--epochs=0")
        assert "LABWRIGHT_RESULTS_DIR" in ended.err
        command_line(*DIGITS, "--epochs=0", "--results_dir=flag")
        for folder in ("file", "environment", "flag"):
            assert len(list((tmp_path / folder / "digits").iterdir())) == 1

    def test_relative_paths_mean_the_folder_they_were_written_in(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pyproject.toml").touch()
        (tmp_path / "config.yaml").write_text("results_dir: runs\n")
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")
        command_line(*DIGITS, "--epochs=0")
        command_line(*DIGITS, "--epochs=0", "--results_dir=here")
        assert list((tmp_path / "runs" / "digits").iterdir())
        assert list((tmp_path / "sub" / "here" / "digits").iterdir())
        assert not (tmp_path / "sub" / "config.yaml").exists()

    def test_home_is_understood(
        self, command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "config.yaml").write_text("results_dir: ~/runs\n")
        command_line(*DIGITS, "--epochs=0")
        assert list((tmp_path / "home" / "runs" / "digits").iterdir())
        assert not (tmp_path / "~").exists()

    @pytest.mark.parametrize("content", ["results_dirr: x", "results_dir: [", "epochs: 3"])
    def test_mistakes_in_it_are_named(self, command_line: Callable[..., Any], tmp_path: Path, content: str) -> None:
        (tmp_path / "config.yaml").write_text(content)
        assert "config.yaml" in command_line(*DIGITS).error
        assert nothing_was_written(tmp_path)

    def test_a_lab_may_have_fields_of_its_own(self, command_line: Callable[..., Any], tmp_path: Path) -> None:
        class LabConfig(MachineConfig):
            scanner: str = Field(default="none", description="Which scanner stands here.")

        ended = command_line(*DIGITS, "--epochs=0", "--scanner=mri", machine=LabConfig)
        assert ended.record["machine"]["scanner"] == "mri"
        assert "scanner: none" in (tmp_path / "config.yaml").read_text()
        assert "Which scanner stands here" in command_line(*DIGITS, "--help", machine=LabConfig).out
