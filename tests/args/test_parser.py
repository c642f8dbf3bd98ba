"""Help and errors are output too: whole texts, as people see them."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, SecretStr

from labwright.args import Args, parse


class MLPArgs(Args):
    """Fully connected network."""

    kind: Literal["mlp"] = "mlp"
    hidden_sizes: list[int] = Field(default=[64], min_length=1, description="Units of each hidden layer.")
    activation: Literal["relu", "gelu"] = "relu"


class CNNArgs(Args):
    """Convolutional network."""

    kind: Literal["cnn"] = "cnn"
    channels: tuple[int, int] = (16, 32)


class DataArgs(Args):
    """Pictures."""

    path: Path = Field(description="Where they are.")
    fraction: float = Field(default=0.5, gt=0, le=1, description="Share to use, 100% is 1.")


class DigitsArgs(Args):
    """Digits, ten classes."""

    epochs: int = Field(default=20, ge=0, description="Passes over the data.")
    use_cuda: bool | None = None
    key: SecretStr = Field(default=SecretStr("hunter2"), description="API key.")
    model: MLPArgs | CNNArgs = Field(default=MLPArgs(hidden_sizes=[32]), description="The classifier.")
    data: DataArgs
    old: int = Field(default=1, deprecated="use --epochs")


HELP = """\
usage: run.py [--flag=value ...]

arguments:
  --epochs INT          Passes over the data. (>= 0; default: 20)
  --use_cuda [BOOL]     (bool or none; default: none)
  --key SECRET          API key. (default: ********)
  --old INT             (default: 1; deprecated: use --epochs)

model (mlp):
  The classifier.
  Fully connected network.
  Choose another with --model=cnn (channels).

  --model {mlp,cnn}     Which model. (now: mlp)
  --hidden_sizes, --model.hidden_sizes INT,...
                        Units of each hidden layer. (list[int]; at least 1
                        long; default: [32])
  --activation, --model.activation {relu,gelu}
                        (default: relu)

data:
  Pictures.

  --path, --data.path PATH
                        Where they are. (required)
  --fraction, --data.fraction FLOAT
                        Share to use, 100% is 1. (> 0; <= 1; default: 0.5)

general:
  -h, --help            Show this help; flags given with it choose what is
                        shown.
  --config FILE         YAML or JSON file of values; repeatable.
  --print_config        Print the effective configuration and its sources.
"""
TYPOS = """\
run.py: error: --epochz: unknown flag; did you mean --epochs?
run.py: error: --channels is a field of cnn only, and model is mlp (from default); add --model=cnn to use it
run.py: error: unexpected argument "stray"; flags are written --name=value
run.py: error: --data.path is required (Where they are.)
"""
VALUES = """\
run.py: error: --model.hidden_sizes: "[64," is not valid JSON (Expecting value at column 5)
run.py: error: --epochs: "-1": should be greater than or equal to 0
run.py: error: --use_cuda: "maybe" is not a boolean (true or false)
run.py: error: --model.activation: "rellu" is not one of relu, gelu; did you mean relu?
run.py: error: --data.fraction: "0": should be greater than 0
"""


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def exit_code(*argv: str) -> object:
    with pytest.raises(SystemExit) as done:
        parse(DigitsArgs, argv, prog="run.py")
    return done.value.code


def test_help_shows_type_range_default_and_the_chosen_part(capsys: pytest.CaptureFixture[str]) -> None:
    """T: `--help` of an experiment printed only the base flags."""
    assert exit_code("--help") == 0
    assert capsys.readouterr().out == HELP


def test_help_of_a_choice_shows_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help", "--model=cnn") == 0
    shown = capsys.readouterr().out
    assert "--channels, --model.channels INT,..." in shown
    assert "--activation" not in shown
    assert "Choose another with --model=mlp (hidden_sizes, activation)." in shown


def test_help_shows_a_choice_that_may_also_be_left_to_labwright(capsys: pytest.CaptureFixture[str]) -> None:
    """Seen: a part's field with one word beside other values was taken for one that can only have that value."""

    class PlaceArgs(Args):
        on_device: Literal["auto"] | bool = "auto"

    class HeldArgs(Args):
        data: PlaceArgs = PlaceArgs()

    with pytest.raises(SystemExit):
        parse(HeldArgs, ["--help"], prog="run.py")
    assert "--on_device, --data.on_device [auto|BOOL]" in capsys.readouterr().out
    assert parse(HeldArgs, ["--no-on_device"], prog="run.py").data.on_device is False


def test_typos_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--epochz=3", "--channels=[1,2]", "stray") == 2
    assert capsys.readouterr() == ("", TYPOS)


def test_wrong_values_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--epochs=-1", "--use_cuda=maybe", "--hidden_sizes=[64,", "--activation=rellu", "--fraction=0", "--path=x"]
    assert exit_code(*argv) == 2
    assert capsys.readouterr() == ("", VALUES)
