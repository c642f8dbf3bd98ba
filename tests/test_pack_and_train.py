"""From a folder of pictures to a trained model, on the command line: it learns what it learns from memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from PIL import Image

from lab.experiments.mnist.args import MnistArgs
from lab.registry import EXPERIMENTS
from labwright.datasets import ShardsDataArgs, Splits, TensorDataset
from labwright.datasets.digits import upscaled_digits
from labwright.datasets.shard_samples import ShardSamples

from .conftest import Ended

CommandLine = Callable[..., Ended]

TRAIN = ("--model=cnn", "--epochs=3", "--use_cuda=false", "--batch_size=32", "--quiet")
PACKED = ("--dataset.path=shards", '--dataset.fields=["png","cls"]')


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """scikit-learn's digits as pictures in a folder for each class."""
    images, labels = upscaled_digits(28)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = tmp_path / "digits" / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    return tmp_path / "digits"


class InMemoryArgs(ShardsDataArgs):
    """The same samples, decoded before and held in memory."""

    kind: Literal["memory"] = "memory"  # pyright: ignore[reportIncompatibleVariableOverride]

    def build(self, cache_dir: Path) -> Splits:
        splits = super().build(cache_dir)
        for sets in (splits.train, splits.val, splits.test):
            sets.update(
                {name: InMemory(samples) for name, samples in sets.items() if isinstance(samples, ShardSamples)}
            )
        return splits


class InMemory(TensorDataset):
    """Shards read once, and shuffled as they are."""

    def __init__(self, samples: ShardSamples) -> None:
        batch = samples.gather(range(len(samples)))
        inputs, target = batch["input"], batch["target"]
        assert isinstance(inputs, torch.Tensor) and isinstance(target, torch.Tensor)
        super().__init__(inputs, target.long(), source=samples.source, mean=samples.mean, std=samples.std)
        self.permutation = samples.permutation


class MemoryMnistArgs(MnistArgs):
    """The experiment on pictures in memory."""

    dataset: InMemoryArgs | ShardsDataArgs  # pyright: ignore[reportGeneralTypeIssues]


def history(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in ("epoch", "step", "split", "metrics")} for row in rows]


@pytest.mark.slow
def test_packed_digits_train_the_cnn_to_the_same_last_digit_as_from_memory(
    command_line: CommandLine, digits: Path, no_pictures: None
) -> None:
    packed = command_line("data", "pack", "digits", "shards", "--val_fraction=0.1", "--test_fraction=0.2")
    assert packed.code == 0, packed.err
    ours = command_line("--experiment_id=mnist", "--dataset=shards", *PACKED, *TRAIN)
    assert ours.code == 0, ours.err
    experiments = {**EXPERIMENTS, "mnist": MemoryMnistArgs}
    memory = command_line("--experiment_id=mnist", "--dataset=memory", *PACKED, *TRAIN, experiments=experiments)
    assert memory.code == 0, memory.err
    assert history(ours.run) == history(memory.run)
    assert ours.test == memory.test
    assert ours.test["accuracy"] > 0.9
    assert (ours.run / "model.safetensors").read_bytes() == (memory.run / "model.safetensors").read_bytes()
