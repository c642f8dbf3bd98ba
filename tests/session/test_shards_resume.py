"""Training on shards that is killed and taken up again sees every sample where it would have seen it."""

import contextlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lab.registry import EXPERIMENTS
from labwright import Experiment
from labwright.cli import main
from labwright.shards import Permutation, ShardDataset, ShardWriter
from labwright.train import build_loader

pytestmark = pytest.mark.kill

NUM_SAMPLES, BATCH_SIZE, NUM_EPOCHS, SEED = 150, 16, 3, 7


def consume(
    shards: Path, log: Path, num_workers: int, rank: int, num_ranks: int, until: int | None, state: Any
) -> None:
    """Write down what a loader gives and where it then is, a line a batch; soon after `until` wait to be killed."""
    num_batches = 0
    dataset = ShardDataset(shards, fields=["cls"])
    loader = build_loader(dataset, BATCH_SIZE, shuffle=True, seed=SEED, num_workers=num_workers)
    loader.share(rank, num_ranks, training=True)
    if state is not None:
        loader.load_state_dict(state)
    with open(log, "a", buffering=1) as file:
        for epoch in range(loader.epoch, NUM_EPOCHS + 1):
            loader.set_epoch(epoch)
            for batch in loader:
                file.write(json.dumps([loader.state_dict(), list(batch["name"])]) + "\n")
                num_batches += 1
                time.sleep(0.01 if until is None or num_batches < until + 3 else 3600)
    loader.close()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwritten digits in two shards and more; a key is the position."""
    path = tmp_path_factory.mktemp("shards") / "digits"
    images, labels = load_digits(return_X_y=True)
    with ShardWriter(path, fields=["png", "cls"], shard_samples=64, progress=False) as writer:
        for number in range(NUM_SAMPLES):
            image = (images[number].reshape(8, 8) * 15.9375).astype(np.uint8)
            writer.write("train", str(number), {"png": image, "cls": int(labels[number])})
    return path


def uninterrupted() -> list[list[int]]:
    """The samples of every batch, sorted within it, since ranks come in no order."""
    orders = [Permutation(NUM_SAMPLES, SEED, epoch).positions(0, NUM_SAMPLES) for epoch in range(1, NUM_EPOCHS + 1)]
    starts = range(0, NUM_SAMPLES, BATCH_SIZE)
    return [sorted(order[start : start + BATCH_SIZE].tolist()) for order in orders for start in starts]


class Consumers:
    """Processes that write down what they are given: one log a rank, which a kill leaves where it was."""

    def __init__(self, shards: Path, folder: Path) -> None:
        self.shards = shards
        self.folder = folder
        self.seen: list[list[int]] = []
        self.state: Any = None
        self._num_logs = 0

    def run(self, num_ranks: int = 1, *, num_workers: int = 0, until: int | None = None) -> None:
        """Go on from the last state, with so many ranks; they are killed when they have seen `until` batches."""
        self._num_logs += 1
        logs = [self.folder / f"{self._num_logs}_{rank}.jsonl" for rank in range(num_ranks)]
        processes = [self._start(log, num_workers, rank, num_ranks, until) for rank, log in enumerate(logs)]
        try:
            while until is not None and min(map(num_lines, logs)) < until:
                assert all(process.is_alive() for process in processes), "one has ended"
                time.sleep(0.005)
            for process in processes if until is None else ():
                process.join(600)
                assert process.exitcode == 0
        finally:
            for process in processes:
                process.kill()
                process.join()
        self._collect(logs)

    def _start(self, *words: Any) -> BaseProcess:
        process = multiprocessing.get_context("fork").Process(target=consume, args=(self.shards, *words, self.state))
        process.start()
        return process

    def _collect(self, logs: Sequence[Path]) -> None:
        """What all ranks have seen, up to where the slowest one was: that is what a checkpoint of them would hold."""
        rows = [[json.loads(line) for line in log.read_text().splitlines(True) if line.endswith("\n")] for log in logs]
        for of_ranks in zip(*rows, strict=False):
            states, names = zip(*of_ranks, strict=True)
            assert all(state == states[0] for state in states)
            self.state = states[0]
            self.seen.append(sorted(int(name) for each in names for name in each))


def num_lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_ids_over_kills_with_0_2_and_4_workers_are_the_uninterrupted_sequence(shards: Path, tmp_path: Path) -> None:
    consumers = Consumers(shards, tmp_path)
    consumers.run(num_workers=0, until=4)
    consumers.run(num_workers=2, until=9)
    consumers.run(num_workers=4)
    assert consumers.seen == uninterrupted()


def test_ids_over_kills_on_2_ranks_and_1_are_the_uninterrupted_sequence(shards: Path, tmp_path: Path) -> None:
    consumers = Consumers(shards, tmp_path)
    consumers.run(2, until=4)
    consumers.run(1, num_workers=2, until=9)
    consumers.run(2)
    assert consumers.seen == uninterrupted()


def run(folder: Path, *words: str, dies_at: int | None = None) -> BaseProcess:
    """A process that runs the command line in `folder`, and is killed within the step after `dies_at`."""
    process = multiprocessing.get_context("fork").Process(target=in_folder, args=(folder, words, dies_at))
    process.start()
    return process


def in_folder(folder: Path, words: Sequence[str], dies_at: int | None) -> None:
    train_batch = Experiment.train_batch

    def die_in_time(self: Any, batch: Any) -> Any:
        if self.position.step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_batch(self, batch)

    Experiment.train_batch = die_in_time
    os.chdir(folder)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        main(EXPERIMENTS, argv=[*words, "--quiet"])


def end_of(process: BaseProcess) -> int | None:
    process.join(600)
    return process.exitcode


@pytest.mark.usefixtures("no_pictures")
def test_a_run_on_shards_that_is_killed_ends_with_the_same_weights_and_history(shards: Path, tmp_path: Path) -> None:
    words = ["--experiment_id=digits", "--model=cnn", "--model.channels=[4]", "--dataset=shards", "--use_cuda=false"]
    words += [
        f"--dataset.path={shards}",
        "--epochs=2",
        "--batch_size=4",
        "--checkpoint_every_n_steps=5",
        "--predictions=none",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert end_of(run(whole, *words)) == 0
    assert end_of(run(killed, *words, "--num_workers=2", dies_at=17)) == -signal.SIGKILL
    assert end_of(run(killed, "resume", "last", "--num_workers=0")) == 0
    (first,), (second,) = (list(folder.glob("results/digits/*")) for folder in (whole, killed))
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    histories = [[row_of(line) for line in (run / "history.jsonl").read_text().splitlines()] for run in (first, second)]
    assert histories[0] == histories[1] and len(histories[0]) == 5
    records = [json.loads((run / "run.json").read_text()) for run in (first, second)]
    assert records[0]["dataset"] == records[1]["dataset"] and len(records[0]["dataset"]["fingerprint"]) == 64
    assert records[1]["resumes"][0]["step"] in (10, 15), "taken up in the middle of an epoch"


def row_of(line: str) -> Any:
    row = json.loads(line)
    return {name: row[name] for name in ("epoch", "step", "split", "metrics")}
