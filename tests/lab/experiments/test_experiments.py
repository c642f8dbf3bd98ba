"""Each experiment of the lab runs from nothing to its pictures."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import CsvDataArgs
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion
from labwright.shards import ShardWriter

QUICK = ("--epochs=1", "--limit_train_samples=100", "--use_cuda=false")


def write_idx(path: Path, array: np.ndarray, magic: int) -> None:
    content = struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0))


@pytest.fixture
def idx_files() -> Callable[[Path], Path]:
    """Writes the four files of a tiny MNIST: images whose bright row tells their class."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for prefix, count in (("train", 300), ("t10k", 60)):
            labels = np.arange(count) % 10
            images = rng.integers(60, size=(count, 28, 28))
            images[np.arange(count), 2 * labels + 3] += 190
            write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images, 2051)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels, 2049)
        return folder

    return write


@pytest.mark.parametrize(
    ("experiment", "field", "said"),
    [
        ("digits", "seg8", "masks is a segmentation, and digits has no loss for one"),
        ("mnist", "seg8", "mnist trains by cross-entropy of classes, and masks is a segmentation"),
        ("mnist", "npy", "mnist trains by cross-entropy of classes, and masks is a regression"),
        ("segmentation", "npy", "segmentation trains on masks of classes, and masks is a regression"),
    ],
)
def test_shards_with_other_targets_are_refused_before_the_run(
    command_line: Callable[..., Any], tmp_path: Path, experiment: str, field: str, said: str
) -> None:
    with ShardWriter(tmp_path / "masks", fields=["png", field], progress=False) as writer:
        for number in range(10):
            writer.write("train", str(number), {"png": np.full((4, 4), number, np.uint8), field: np.eye(4, dtype="u1")})
    ended = command_line(f"--experiment_id={experiment}", "--dataset=shards", "--dataset.path=masks", *QUICK)
    assert ended.code == 2 and said in ended.err
    assert not (tmp_path / "results").exists()


class TestMnist:
    def test_the_missions_command_trains_on_bundled_digits_and_says_so(
        self, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        titles: list[str] = []
        monkeypatch.setattr(
            "labwright.session.recorder.plot_history", lambda *args, title, **options: titles.append(title)
        )
        ended = command_line("--experiment_id=mnist", "--use_cuda=false", "--hidden_sizes=[64]", "--epochs=3")
        name = "scikit-learn digits, upscaled to 28x28"
        assert ended.test["accuracy"] > 0.85
        assert "warning: THIS IS NOT MNIST" in ended.err and "THIS IS NOT MNIST" in ended.out
        assert f"mnist on {name}" in ended.out
        assert ended.record["dataset"]["name"] == ended.record["result"]["dataset"] == name
        assert any("THIS IS NOT MNIST" in text for text in ended.record["result"]["warnings"])
        assert titles and all(name in title for title in titles)
        assert (ended.run / "predictions.png").is_file() and (ended.run / "confusion.png").is_file()

    @pytest.mark.usefixtures("no_pictures")
    def test_download_that_fails_says_where_to_put_the_files(
        self, command_line: Callable[..., Any], tmp_path: Path
    ) -> None:
        error = command_line("--experiment_id=mnist", "--dataset.source=download", *QUICK).error
        assert str(tmp_path / "cache" / "mnist") in error and "train-images-idx3-ubyte" in error
        assert not (tmp_path / "results").exists()

    @pytest.mark.usefixtures("no_pictures")
    @pytest.mark.parametrize("model", ["mlp", "cnn"])
    def test_files_in_the_cache_are_used_as_they_are(
        self, command_line: Callable[..., Any], tmp_path: Path, idx_files: Callable[..., Path], model: str
    ) -> None:
        idx_files(tmp_path / "cache" / "mnist")
        ended = command_line("--experiment_id=mnist", f"--model={model}", "--epochs=5", "--use_cuda=false")
        assert ended.test["accuracy"] > 0.8
        assert ended.record["dataset"]["name"].startswith("MNIST from local files (300 + 60 images)")
        assert "SHA-256 differs" in ended.err and "NOT MNIST" not in ended.err

    @pytest.mark.usefixtures("no_pictures")
    @pytest.mark.parametrize("damage", ["truncated", "magic", "counts", "bomb", "text"])
    def test_damaged_files_are_refused_in_one_line(
        self, command_line: Callable[..., Any], tmp_path: Path, idx_files: Callable[..., Path], damage: str
    ) -> None:
        folder = idx_files(tmp_path / "cache" / "mnist")
        images, labels = (folder / f"train-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
        if damage == "truncated":
            images.write_bytes(images.read_bytes()[:-200])
        elif damage == "magic":
            write_idx(images, np.zeros((300, 28, 28)), 2052)
        elif damage == "counts":
            write_idx(labels, np.zeros(299), 2049)
        elif damage == "bomb":
            images.write_bytes(gzip.compress(struct.pack(">IIII", 2051, 300, 28, 28) + bytes(50_000_000)))
        else:
            images.write_text("<html>captive portal</html>")
        error = command_line("--experiment_id=mnist", *QUICK).error
        assert ("labels" if damage == "counts" else str(images)) in error
        assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_digits_runs(command_line: Callable[..., Any], model: str) -> None:
    ended = command_line("--experiment_id=digits", f"--model={model}", *QUICK)
    assert 0 < ended.test["accuracy"] < 1 and "warning" not in ended.err


def test_digits_are_learned(command_line: Callable[..., Any]) -> None:
    assert command_line("--experiment_id=digits", "--use_cuda=false").test["accuracy"] > 0.93


@pytest.mark.usefixtures("no_pictures")
def test_fashion_mnist_runs_on_files_in_the_cache(
    command_line: Callable[..., Any], tmp_path: Path, idx_files: Callable[..., Path]
) -> None:
    idx_files(tmp_path / "cache" / "fashion_mnist")
    ended = command_line("--experiment_id=fashion_mnist", *QUICK)
    assert "Fashion-MNIST from local files" in ended.out
    rows = (ended.run / "predictions" / "test.csv").read_text().splitlines()
    assert "target_name" in rows[0] and "Trouser" in rows[2]


@pytest.mark.usefixtures("no_pictures")
def test_fashion_mnist_that_cannot_be_had_is_refused(command_line: Callable[..., Any], tmp_path: Path) -> None:
    error = command_line("--experiment_id=fashion_mnist", *QUICK).error
    assert str(tmp_path / "cache" / "fashion_mnist") in error and not (tmp_path / "results").exists()


def test_table_is_a_regression_with_its_own_picture(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=table", "--epochs=20", "--use_cuda=false")
    assert ended.test.keys() == {"loss", "mse", "mae"}
    assert ended.test["mse"] < 0.8  # the mean alone comes to 1
    assert (ended.run / "predictions.png").is_file() and not (ended.run / "confusion.png").exists()


def test_cnn_on_a_table_is_refused(command_line: Callable[..., Any], tmp_path: Path) -> None:
    assert "needs images" in command_line("--experiment_id=table", "--model=cnn").error
    assert not (tmp_path / "results").exists()


class FlowersArgs(ExperimentArgs):
    """A table of one's own."""

    epochs: int = 1
    model: MLPArgs = MLPArgs(hidden_sizes=[4])
    dataset: CsvDataArgs = CsvDataArgs(path=Path("flowers.csv"), target="kind")
    optimizer: OptimizerUnion = AdamArgs()
    scheduler: SchedulerUnion = ConstantArgs()

    def build(self, machine: MachineConfig) -> "Experiment[FlowersArgs]":
        return Experiment(self, machine)


class TestOwnTable:
    @pytest.fixture
    def flowers(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        rows = [f"{rng.normal(kind):.3f},{rng.normal():.3f},{'ab'[kind]}" for kind in (0, 1) for _ in range(40)]
        path = tmp_path / "flowers.csv"
        path.write_text("\n".join(["length,width,kind", *rows]) + "\n")
        return path

    @pytest.mark.usefixtures("flowers")
    def test_it_trains_and_names_its_classes(self, command_line: Callable[..., Any]) -> None:
        ended = command_line("--use_cuda=false", experiments=FlowersArgs)
        assert ended.record["dataset"]["name"] == "flowers.csv" and "accuracy" in ended.test
        assert json.loads((ended.run / "checkpoints" / "index.json").read_text())["last"]["epoch"] == 1

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--target=kid"], ["kid", "did you mean 'kind'?"]),
            (["--target=length", "--task=regression", '--columns={"kind": "number"}'], ["line 2", "kind", "'a'"]),
            (["--path=nowhere.csv"], ["nowhere.csv", "No such file"]),
        ],
    )
    def test_wrong_columns_and_files_are_one_line(
        self, command_line: Callable[..., Any], tmp_path: Path, flowers: Path, words: list[str], said: list[str]
    ) -> None:
        error = command_line(*words, experiments=FlowersArgs).error
        assert all(part in error for part in said), error
        assert not (tmp_path / "results").exists()

    def test_cell_that_is_no_number_is_named_with_its_line(
        self, command_line: Callable[..., Any], tmp_path: Path, flowers: Path
    ) -> None:
        flowers.write_text(flowers.read_text().replace("\n", "\n1.0,wide,a\n", 1))
        error = command_line(experiments=FlowersArgs).error
        assert "line 2" in error and "'width'" in error and "'wide'" in error
        assert not (tmp_path / "results").exists()
