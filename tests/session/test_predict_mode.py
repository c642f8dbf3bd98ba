"""Runs that only write predictions: for a folder of images, for the rows of a CSV file, or for the sets at hand."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_iris

pytestmark = pytest.mark.usefixtures("no_pictures")

DIGITS = ("--experiment_id=digits", "--use_cuda=false")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def predictions(run: Path) -> list[dict[str, str]]:
    assert [path.name for path in (run / "predictions").iterdir()] == ["inputs.csv"]
    return rows_of(run / "predictions" / "inputs.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifty digits as pictures, named after what they show."""
    images, labels = load_digits(return_X_y=True)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (image, label) in enumerate(zip(images[:50], labels[:50], strict=True)):
        pixels = (image.reshape(8, 8) * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}_shows_{label}.png")
    return folder


class TestFolderOfImages:
    @pytest.fixture
    def trained(self, command_line: Callable[..., Any]) -> Path:
        return command_line(*DIGITS, "--epochs=5").run

    @pytest.fixture
    def predict(self, command_line: Callable[..., Any], trained: Path) -> Callable[..., Any]:
        return lambda *words: command_line(*DIGITS, "--mode=predict", f"--from_checkpoint={trained}", *words)

    def test_each_file_has_a_row_with_what_it_shows(self, predict: Callable[..., Any], folder: Path) -> None:
        rows = predictions(predict(f"--predict_input={folder}").run)
        assert [row["name"] for row in rows] == sorted(path.name for path in folder.iterdir())
        right = [row["name"].endswith(f"_shows_{row['prediction']}.png") for row in rows]
        assert np.mean(right) > 0.9
        assert list(rows[0]) == ["index", "name", "prediction", "confidence"]

    def test_probabilities_of_every_class_come_where_asked_for(self, predict: Callable[..., Any], folder: Path) -> None:
        row = predictions(predict(f"--predict_input={folder}", "--probabilities").run)[0]
        shares = [float(row[f"probability_{label}"]) for label in range(10)]
        assert sum(shares) == pytest.approx(1) and float(row["confidence"]) == max(shares)

    def test_run_directory_says_what_was_done(self, predict: Callable[..., Any], folder: Path, trained: Path) -> None:
        ended = predict(f"--predict_input={folder}")
        record = ended.record
        assert (record["status"], record["options"]["mode"]) == ("finished", "predict")
        assert record["options"]["predict_input"] == str(folder)
        assert record["result"]["epochs"] == 0 and record["result"]["test"] == {}
        assert f"--predict_input={folder}" in (ended.run / "command.sh").read_text()
        assert str(trained) in (ended.run / "args.yaml").read_text()
        names = {path.name for path in ended.run.iterdir()}
        assert not names & {"model.safetensors", "checkpoints", "history.jsonl", "history.png"}
        assert "inputs.csv" in ended.out

    def test_one_file_is_a_folder_of_one(self, predict: Callable[..., Any], folder: Path) -> None:
        [row] = predictions(predict(f"--predict_input={folder / '03_shows_3.png'}").run)
        assert (row["name"], row["prediction"]) == ("03_shows_3.png", "3")

    def test_what_cannot_be_read_is_one_line_before_the_run(
        self, predict: Callable[..., Any], folder: Path, trained: Path, tmp_path: Path
    ) -> None:
        (folder / "50_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
        (empty := tmp_path / "empty").mkdir()
        for path, said in [
            (folder, "50_broken.png"), (empty, "has no images"), (tmp_path / "nowhere", "nowhere")
        ]:  # fmt: skip
            assert said in predict(f"--predict_input={path}").error
        assert list(trained.parent.iterdir()) == [trained]

    def test_training_images_may_be_asked_about(self, predict: Callable[..., Any], folder: Path) -> None:
        """They are equal to samples of the training set, which is no overlap of splits."""
        ended = predict(f"--predict_input={folder}", "--overlap=refuse")
        assert len(predictions(ended.run)) == 50 and "warning" not in ended.err


@pytest.mark.parametrize("size", [28, 100])
def test_images_of_any_size_are_made_to_fit_mnist(
    command_line: Callable[..., Any], tmp_path: Path, folder: Path, size: int
) -> None:
    words = ("--experiment_id=mnist", "--dataset.source=digits", "--use_cuda=false")
    trained = command_line(*words, "--epochs=5").run
    large = tmp_path / "large"
    large.mkdir()
    for path in folder.iterdir():
        Image.open(path).resize((size, size), Image.Resampling.BILINEAR).convert("RGB").save(large / path.name)
    ended = command_line(*words, "--mode=predict", f"--predict_input={large}", f"--from_checkpoint={trained}")
    rows = predictions(ended.run)
    assert np.mean([row["name"].endswith(f"_{row['prediction']}.png") for row in rows]) > 0.85
    assert ended.err.count("50 of 50 images are resized to 28 x 28") == (size != 28)


class TestCsv:
    @pytest.fixture
    def flowers(self, tmp_path: Path) -> Path:
        inputs, targets = load_iris(return_X_y=True)
        lines = ["length,width,petal_length,petal_width,kind"]
        for row, target in zip(inputs, targets, strict=True):
            lines.append(",".join([*map(str, row), ("setosa", "versicolor", "virginica")[target]]))
        path = tmp_path / "flowers.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    @pytest.fixture
    def words(self, flowers: Path) -> tuple[str, ...]:
        return ("--experiment_id=table", "--dataset=csv", f"--path={flowers}", "--target=kind", "--use_cuda=false")

    def test_rows_without_a_target_are_given_one_by_name(
        self, command_line: Callable[..., Any], words: tuple[str, ...], tmp_path: Path
    ) -> None:
        trained = command_line(*words, "--epochs=30", "--learning_rate=0.01", "--overlap=allow").run
        new = tmp_path / "new.csv"
        new.write_text("petal_width,petal_length,width,length\n0.2,1.4,3.5,5.1\n2.3,6.1,3.0,7.2\n")
        ended = command_line(
            *words, "--overlap=allow", "--mode=predict", f"--predict_input={new}", f"--from_checkpoint={trained}"
        )
        rows = predictions(ended.run)
        assert [row["prediction_name"] for row in rows] == ["setosa", "virginica"]
        assert ended.record["options"]["mode"] == "predict"

    def test_column_that_is_missing_is_named_before_the_run(
        self, command_line: Callable[..., Any], words: tuple[str, ...], tmp_path: Path
    ) -> None:
        trained = command_line(*words, "--epochs=1", "--overlap=allow").run
        new = tmp_path / "new.csv"
        new.write_text("length,width\n5.1,3.5\n")
        ended = command_line(
            *words, "--overlap=allow", "--mode=predict", f"--predict_input={new}", f"--from_checkpoint={trained}"
        )
        assert "petal_length" in ended.error
        assert list(trained.parent.iterdir()) == [trained]


class TestSetsAtHand:
    def test_without_inputs_the_test_set_is_predicted(self, command_line: Callable[..., Any]) -> None:
        trained = command_line(*DIGITS, "--epochs=1").run
        ended = command_line(*DIGITS, "--mode=predict", f"--from_checkpoint={trained}")
        table = Path("predictions") / "test.csv"
        assert (ended.run / table).read_text() == (trained / table).read_text()
        assert json.loads((ended.run / "run.json").read_text())["result"]["test"] == {}

    def test_predicting_needs_weights(self, command_line: Callable[..., Any], tmp_path: Path, folder: Path) -> None:
        assert "--from_checkpoint" in command_line(*DIGITS, "--mode=predict", f"--predict_input={folder}").error
        assert not (tmp_path / "results").exists()

    def test_inputs_are_for_predicting_only(self, command_line: Callable[..., Any], folder: Path) -> None:
        assert "mode=predict" in command_line(*DIGITS, f"--predict_input={folder}").error
