"""No secret in any file of a run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from labwright.args import MachineConfig
from labwright.session.secrets import secrets_of

FLAG, FILE, VARIABLE = "flag0123456789abcdef", "file0123456789abcdef", "vari0123456789abcdef"
DIGITS = ("--experiment_id=digits", "--epochs=1", "--limit_train_samples=40", "--use_cuda=false")


def files_with(folder: Path, secret: str) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_secrets_are_found_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    class Account(BaseModel):
        key: SecretStr = SecretStr("deep")

    class Settings(BaseModel):
        account: Account = Account()
        others: dict[str, list[SecretStr]] = {"a": [SecretStr("listed"), SecretStr("")]}
        name: str = "plain"

    class Token(BaseModel):
        token: SecretBytes = SecretBytes(b"bytes")

    assert secrets_of(Token()) == ("bytes",)
    monkeypatch.setenv("WANDB_API_KEY", "variable")
    assert secrets_of(Settings(), Account(key=SecretStr("other"))) == ("deep", "listed", "other", "variable")


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("place", ["flag", "words", "file", "preset", "variable", "own variable"])
def test_key_reaches_no_file_and_no_line(
    command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    words: list[str] = []
    if place == "flag":
        words = [f"--wandb_api_key={FLAG}"]
    elif place == "words":
        words = ["--wandb-api-key", FLAG]
    elif place == "file":
        (tmp_path / "config.yaml").write_text(f"wandb_api_key: {FLAG}\n")
    elif place == "preset":
        (tmp_path / "preset.yaml").write_text(f"wandb_api_key: {FLAG}\n")
        words = ["--config=preset.yaml"]
    else:
        monkeypatch.setenv("WANDB_API_KEY" if place == "variable" else "LABWRIGHT_WANDB_API_KEY", FLAG)

    def tell(self: Any) -> None:
        print(f"a careless hook prints {FLAG} and {os.environ.get('WANDB_API_KEY')}")

    monkeypatch.setattr("labwright.Experiment.on_epoch_start", tell)
    ended = command_line(*DIGITS, "--run_name", f"try-{FLAG}", "--use_tensorboard", *words)
    assert files_with(ended.run, FLAG) == []
    assert FLAG not in ended.err
    assert "a careless hook prints ***" in (ended.run / "log.txt").read_text()


def test_key_is_masked_in_errors_and_print_config(command_line: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"wandb_api_key: {FILE}\n")
    ended = command_line(*DIGITS, "--print_config")
    assert ended.code == 0 and FILE not in ended.out + ended.err
    ended = command_line(*DIGITS, f"--wandb_api_key={FLAG}", "--epochs=x")
    assert ended.code == 2 and FLAG not in ended.out + ended.err


def test_key_in_an_exception_reaches_no_file(command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise ValueError(f"401 for key {VARIABLE}")

    monkeypatch.setenv("WANDB_API_KEY", VARIABLE)
    monkeypatch.setattr("labwright.Experiment.on_experiment_start", fail)
    with pytest.raises(ValueError, match="401"):
        from lab.registry import EXPERIMENTS
        from labwright.cli import main

        main(EXPERIMENTS, argv=DIGITS)
    [run] = Path("results/digits").iterdir()
    assert files_with(run, VARIABLE) == []
    assert "401 for key ***" in (run / "run.json").read_text()


@pytest.mark.slow
def test_key_reaches_no_file_of_wandb(
    command_line: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [(name * 40)[:40] for name in ("0a1b", "2c3d", "4e5f")]
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", keys[0])
    (tmp_path / "config.yaml").write_text(f"wandb_api_key: {keys[1]}\n")
    ended = command_line(*DIGITS, "--use_wandb", "--use_tensorboard", f"--wandb_api_key={keys[2]}")
    assert list(ended.run.glob("wandb/offline-run-*")) and list(ended.run.rglob("events.out.tfevents*"))
    for key in keys:
        assert files_with(ended.run, key) == []


@pytest.mark.usefixtures("no_pictures")
def test_secret_that_was_typed_is_masked_however_short_and_often(command_line: Callable[..., Any]) -> None:
    class LabConfig(MachineConfig):
        pin: SecretStr = SecretStr("")
        token: SecretBytes = SecretBytes(b"")

    run = command_line(*DIGITS, "--pin=q1", "--pin", "q2", "--token=swordfish", machine=LabConfig).run
    command = (run / "command.sh").read_text()
    assert "--pin" in command and not any(secret in command for secret in ("q1", "q2", "swordfish"))
