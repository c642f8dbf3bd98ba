"""What a run leaves: the files of one run, and that they agree with each other."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a newcomer starts one, in a process of its own."""
    folder = tmp_path_factory.mktemp("newcomer")
    run_py = Path(__file__).parents[2] / "run.py"
    words = ["--experiment_id=digits", "--epochs=2", "--limit_train_samples=100", "--batch_size=32", "--use_cuda=false"]
    words += ["--log_every_n_steps=3", "--tags=a,b", "--run_name=first try"]
    subprocess.run([sys.executable, run_py, *words], cwd=folder, check=True, capture_output=True)
    [run] = (folder / "results" / "digits").iterdir()
    return run


def test_every_file_is_there(run: Path) -> None:
    expected = {
        "args.yaml",
        "command.sh",
        "run.json",
        "history.jsonl",
        "steps.jsonl",
        "fingerprints.bin",
        "history.png",
        "predictions.png",
        "confusion.png",
        "predictions",
        "checkpoints",
        "model.safetensors",
        "log.txt",
    }
    assert {path.name for path in run.iterdir()} == expected
    for picture in run.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_args_yaml_holds_the_effective_arguments_and_the_id(run: Path) -> None:
    args = yaml.safe_load((run / "args.yaml").read_text())
    assert args["experiment_id"] == "digits"
    assert (args["epochs"], args["limit_train_samples"], args["seed"]) == (2, 100, 0)
    assert args["model"]["hidden_sizes"] == [64]
    assert "results_dir" not in args and "tags" not in args


def test_record_says_how_it_went(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["error"] is None
    assert record["started_at"] <= record["ended_at"] and record["duration_seconds"] > 0
    assert record["options"]["tags"] == ["a", "b"] and record["options"]["run_name"] == "first try"
    assert record["machine"]["use_cuda"] is False
    assert record["versions"]["torch"] == torch.__version__
    assert record["device"].startswith("cpu")
    assert record["dataset"]["name"] == "scikit-learn digits" and len(record["dataset"]["fingerprint"]) == 64


def test_result_agrees_with_the_history(run: Path) -> None:
    result, rows = json.loads((run / "run.json").read_text())["result"], history(run)
    assert result["run_dir"] == str(run)
    assert [result["test"]] == [row["metrics"] for row in rows if row["split"] == "test"]
    val = {row["epoch"]: row["metrics"] for row in rows if row["split"] == "val"}
    assert result["val"] == val[result["best_epoch"]]
    assert result["best_value"] == min(metrics["loss"] for metrics in val.values())


def test_history_has_a_row_for_each_epoch_and_split(run: Path) -> None:
    rows = history(run)
    steps = -(-100 // 32)
    assert [(row["epoch"], row["step"], row["split"]) for row in rows[:4]] == [
        (1, steps, "train"),
        (1, steps, "val"),
        (2, 2 * steps, "train"),
        (2, 2 * steps, "val"),
    ]
    assert [row.get("learning_rate") for row in rows[:4]] == [1e-3, None, 1e-3, None]
    assert rows[4]["split"] == "test" and len(rows) == 5


def test_steps_have_a_row_every_n_steps(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    for row in rows:
        assert row["loss"] > 0 and row["learning_rate"] == 1e-3
        assert row["samples_per_second"] > 0 and row["memory"] > 1e6


def test_checkpoints_name_last_and_best(run: Path) -> None:
    index = json.loads((run / "checkpoints" / "index.json").read_text())
    assert index["last"]["epoch"] == 2 and index["last"]["metrics"].keys() >= {"val/loss", "train/accuracy"}
    files = {entry["file"] for entry in index.values()}
    assert {path.name for path in (run / "checkpoints").glob("*.safetensors")} == files
    for entry in index.values():
        assert (run / "checkpoints" / entry["file"]).stat().st_size == entry["size"]


def test_model_loads_without_labwright(run: Path) -> None:
    nn = torch.nn
    model = nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU()),
            "head": nn.Linear(64, 10),
        }
    )
    model.load_state_dict(load_file(run / "model.safetensors"))


def test_log_repeats_what_the_terminal_showed(run: Path) -> None:
    log = (run / "log.txt").read_text()
    assert "epoch 1/2" in log and "epoch 2/2" in log
    assert "digits on scikit-learn digits" in log and "test accuracy" in log
    assert "\x1b" not in log and "\r" not in log


def test_predictions_are_those_of_the_test_set(run: Path) -> None:
    lines = (run / "predictions" / "test.csv").read_text().splitlines()
    assert lines[0].startswith("index,target,prediction,confidence")
    assert len(lines) == 1 + 359
    hits = [line.split(",")[1] == line.split(",")[2] for line in lines[1:]]
    accuracy = json.loads((run / "run.json").read_text())["result"]["test"]["accuracy"]
    assert sum(hits) / len(hits) == pytest.approx(accuracy)


@pytest.mark.slow
def test_command_sh_repeats_the_run_from_anywhere(run: Path) -> None:
    before = set(run.parent.iterdir())
    subprocess.run([run / "command.sh"], cwd="/", check=True, capture_output=True)
    [again] = set(run.parent.iterdir()) - before
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert (again / "args.yaml").read_bytes() == (run / "args.yaml").read_bytes()
    record = json.loads((again / "run.json").read_text())
    assert record["options"]["tags"] == ["a", "b"] and record["options"]["log_every_n_steps"] == 3
    shutil.rmtree(again)
