"""A language model reads, is measured by its characters, and writes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.experiments.characters.gru import GRU

TINY = ("--experiment_id=characters", "--use_cuda=false", "--hidden_size=32", "--embedding_size=8", "--overlap=allow")


@pytest.fixture
def alphabet(tmp_path: Path) -> str:
    """A text that is easily learned."""
    path = tmp_path / "alphabet.txt"
    path.write_text("abcdefgh\n" * 500)
    return f"--dataset.path={path}"


def samples(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "artifacts" / "samples.jsonl").read_text().splitlines()]


def test_reading_in_pieces_is_reading_at_once() -> None:
    model = GRU(num_characters=7, embedding_size=4, hidden_size=6, num_layers=2)
    text = torch.randint(7, (3, 10))
    first, state = model.read(text[:, :4])
    second, _ = model.read(text[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), model(text))


def test_debug_run_on_docstrings_draws_what_was_written(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=characters", "--debug", "--use_cuda=false")
    assert (ended.run / "samples.png").is_file() and ended.record["debug"]
    assert [row["epoch"] for row in samples(ended.run)] == [1, 2]
    assert len((ended.run / "artifacts" / "sample.txt").read_text()) == 300
    assert not (ended.run / "predictions").exists()


@pytest.mark.usefixtures("no_pictures")
class TestAlphabet:
    def test_untrained_it_is_as_perplexed_as_by_dice(self, command_line: Callable[..., Any], alphabet: str) -> None:
        ended = command_line(*TINY, alphabet, "--epochs=0")
        assert ended.test["perplexity"] == pytest.approx(9, rel=0.1)

    @pytest.mark.slow
    def test_trained_it_goes_on_with_the_alphabet(self, command_line: Callable[..., Any], alphabet: str) -> None:
        ended = command_line(*TINY, alphabet, "--epochs=25", "--temperature=0", "--learning_rate=0.02")
        # the first character of a stretch tells all that follow
        assert ended.test["accuracy"] == 1 and ended.test["perplexity"] < 1.05
        assert (ended.run / "artifacts" / "sample.txt").read_text().startswith("abcdefgh\nabcdefgh\n")
        for row in map(json.loads, (ended.run / "history.jsonl").read_text().splitlines()):
            assert row["metrics"]["perplexity"] == pytest.approx(math.exp(row["metrics"]["loss"]))

    def test_writing_more_changes_no_weight(self, command_line: Callable[..., Any], alphabet: str) -> None:
        short, long = (
            command_line(*TINY, alphabet, "--epochs=2", f"--sample_length={length}").run for length in (2, 40)
        )
        assert (short / "model.safetensors").read_bytes() == (long / "model.safetensors").read_bytes()
        assert samples(long)[1]["text"].startswith(samples(short)[1]["text"])

    def test_weights_of_a_run_write_again(self, command_line: Callable[..., Any], alphabet: str) -> None:
        trained = command_line(*TINY, alphabet, "--epochs=2", "--ema_decay=0.9").run
        tested = command_line(*TINY, alphabet, "--mode=test", f"--from_checkpoint={trained}").run
        texts = [(run / "artifacts" / "sample.txt").read_text() for run in (trained, tested)]
        assert texts[0] == texts[1]

    def test_metrics_of_ones_own_stand_beside_perplexity(self, command_line: Callable[..., Any], alphabet: str) -> None:
        chosen = '--metrics={"multiclass_classification": ["accuracy"]}'
        assert "perplexity" in command_line(*TINY, alphabet, "--epochs=1", chosen).test

    def test_one_line_of_text_is_enough(self, command_line: Callable[..., Any], tmp_path: Path) -> None:
        (tmp_path / "line.txt").write_text("ab" * 1000)
        ended = command_line(*TINY, f"--dataset.path={tmp_path / 'line.txt'}", "--epochs=1")
        assert set((ended.run / "artifacts" / "sample.txt").read_text()) == {"a", "b"}
