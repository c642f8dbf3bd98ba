"""A run that trains nothing: embed, search, measure, draw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from lab.experiments.embed_digits.args import EmbedDigitsArgs
from lab.experiments.embed_digits.embedding import fit_pca, nearest, vote
from labwright.args import MachineConfig, RunOptions, UserError

ID = "--experiment_id=embed_digits"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A run from Python, without pictures: `run({"kind": "pca"}, num_neighbours=3)`."""
    monkeypatch.setattr("labwright.session.recorder.plot_history", lambda *args, **options: None)
    monkeypatch.setattr("lab.experiments.embed_digits.experiment.EmbedDigits.plot", lambda *args: [])

    def run(embedding: Any = None, options: RunOptions | None = None, **fields: Any) -> Any:
        args = EmbedDigitsArgs.model_validate({"embedding": embedding or {"kind": "pixels"}, **fields})
        return args.build(MachineConfig(results_dir=tmp_path / "results", use_cuda=False)).run(options)

    return run


def test_pixels_leave_a_whole_run_directory(command_line: Callable[..., Any]) -> None:
    ended = command_line(ID)
    assert ended.test["neighbour_accuracy"] > 0.97
    files = {path.name for path in ended.run.iterdir()}
    assert files >= {"args.yaml", "command.sh", "run.json", "history.png", "neighbours.png", "embedding.png"}
    assert not files & {"model.safetensors", "checkpoints"}
    rows = [json.loads(line) for line in (ended.run / "history.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["split"]) for row in rows] == [(0, "val"), (0, "test")]
    predictions = (ended.run / "predictions" / "test.csv").read_text().splitlines()
    assert predictions[0].startswith("index,target,prediction") and len(predictions) == 360


def test_debug_is_a_handful_of_images(command_line: Callable[..., Any]) -> None:
    ended = command_line(ID, "--debug")
    assert ended.record["debug"] and (ended.run / "neighbours.png").is_file()
    assert np.load(ended.run / "artifacts" / "embeddings_train.npy").shape == (64, 64)


def test_what_was_embedded_and_found_is_kept(run: Callable[..., Any]) -> None:
    result = run({"kind": "pca", "num_components": 8}, num_neighbours=3)
    artifacts = result.run_dir / "artifacts"
    train, test = (np.load(artifacts / f"embeddings_{name}.npy") for name in ("train", "test"))
    assert train.shape == (1258, 8) and test.shape == (359, 8)
    expected = NearestNeighbors(n_neighbors=3).fit(train).kneighbors(test, return_distance=False)
    assert np.mean(np.load(artifacts / "neighbours_test.npy") == expected) > 0.99  # but for ties


@pytest.mark.slow
def test_the_model_of_a_digits_run_can_embed(command_line: Callable[..., Any]) -> None:
    trained = command_line("--experiment_id=digits", "--epochs=3", "--use_cuda=false", "--hidden_sizes=[16]").run
    words = ("--embedding=model", "--hidden_sizes=[16]", "--distance=cosine")
    ended = command_line(ID, *words, f"--from_checkpoint={trained}")
    assert ended.test["neighbour_accuracy"] > 0.9
    assert np.load(ended.run / "artifacts" / "embeddings_test.npy").shape == (359, 16)
    assert "do not fit MLP" in command_line(ID, "--embedding=model", f"--from_checkpoint={trained}").error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--embedding=model"], "add --from_checkpoint=RUN"),
        (["--from_checkpoint=somewhere"], "add --embedding=model"),
        (["--epochs=2"], "--epochs"),
        (["--num_neighbours=1258"], "there are 1258 training images"),
        (["--learning_rate=1"], "--learning_rate"),
    ],
)
def test_what_has_no_meaning_here_is_one_line(
    command_line: Callable[..., Any], tmp_path: Path, words: list[str], said: str
) -> None:
    assert said in command_line(ID, *words).error
    assert not (tmp_path / "results").exists()


def test_mode_test_looks_at_the_test_set_alone(run: Callable[..., Any]) -> None:
    result = run(options=RunOptions(mode="test"))
    assert result.val == {} and result.test == run().test


def test_only_predictions_where_only_they_are_asked_for(run: Callable[..., Any]) -> None:
    result = run(options=RunOptions(mode="predict", predictions="all"))
    assert result.test == {} and not (result.run_dir / "history.jsonl").exists()
    tables = {path.stem: path.read_text().splitlines() for path in (result.run_dir / "predictions").iterdir()}
    assert tables.keys() == {"train", "val", "test"}
    sure = [line for line in tables["train"][1:] if line.split(",")[1] == line.split(",")[2]]
    assert len(sure) < len(tables["train"]) - 1  # an image that found itself would never be wrong


def test_without_validation_there_is_still_a_test(run: Callable[..., Any]) -> None:
    result = run(dataset={"val_fraction": 0})
    assert result.val == {} and result.test["neighbour_accuracy"] > 0.97


class TestEmbedding:
    def test_pca_is_scikit_learns(self) -> None:
        images = np.random.default_rng(0).normal(size=(50, 1, 4, 4)).astype(np.float32)
        expected = PCA(3).fit(images[:40].reshape(40, -1)).transform(images.reshape(50, -1))
        assert np.abs(fit_pca(images[:40], 3)(images)) == pytest.approx(np.abs(expected), abs=1e-4)  # signs are free

    @pytest.mark.parametrize("distance", ["euclidean", "cosine"])
    def test_neighbours_are_scikit_learns(self, distance: str) -> None:
        rng = np.random.default_rng(0)
        queries, references = (rng.normal(size=(count, 5)).astype(np.float32) for count in (20, 30))
        distances, positions = NearestNeighbors(n_neighbors=4, metric=distance).fit(references).kneighbors(queries)
        found = nearest(queries, references, 4, distance)
        assert np.array_equal(found.positions, positions)
        assert found.distances == pytest.approx(distances, abs=1e-3)

    def test_none_is_its_own_neighbour(self) -> None:
        points = np.array([[0.0], [1.0], [3.0]], np.float32)
        found = nearest(points, points, 2, "euclidean", skip_self=True)
        assert found.positions.tolist() == [[1, 2], [0, 2], [1, 0]]

    def test_vector_without_length_has_a_distance_all_the_same(self) -> None:
        found = nearest(np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32), 1, "cosine")
        assert found.distances.tolist() == [[1.0]]

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
    def test_vote_goes_to_the_most_frequent_label_and_in_a_tie_to_the_nearer(self, labels: list[int]) -> None:
        shares = vote(np.array([labels]), 4)
        most = max(map(labels.count, labels))
        assert shares.sum() == pytest.approx(1)
        assert labels.count(int(shares.argmax())) == most
        assert shares.max() == pytest.approx(most / len(labels), abs=1e-3)

    def test_nearer_labels_win_a_tie(self) -> None:
        assert vote(np.array([[2, 1, 1, 2], [1, 2, 1, 2]]), 3).argmax(axis=1).tolist() == [2, 1]


def test_runs_name_what_is_wrong_with_a_missing_checkpoint(run: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="nowhere: no such checkpoint"):
        run({"kind": "model"}, from_checkpoint="nowhere")
