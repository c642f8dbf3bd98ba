"""What it saves on a CPU to keep freed memory for the next step: training steps with and without `--keep_freed_memory`.

    python benchmarks/freed_memory.py [--rounds=3] [--models=mlp_512,cnn,...]

Each measurement is a process of its own, on one thread, in turns with the other; CPU time of a step after the first
five, medians of the rounds and of the ratios of neighbours, and the most memory that a process took. Prints a Markdown
table and exits 1 where a model is slower for it, by more than the noise of a shared machine (5 %).
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labwright.optimizers import AdamArgs
from labwright.train import kept_freed_memory, peak_memory_bytes
from labwright.train.layouts import to_channels_last

LIMIT = 1.05
FIRST_STEPS = 5
VOCABULARY = 20_000


class Case(NamedTuple):
    title: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    num_steps: int


class Measured(NamedTuple):
    milliseconds: float
    """Of CPU time, a step."""
    memory: int
    """In bytes."""


def mlp(width: int) -> nn.Module:
    hidden = [nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def cnn() -> nn.Module:
    first = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    rest = [nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]
    model = nn.Sequential(*first, *rest)
    to_channels_last(model)
    return model


def language_model() -> nn.Module:
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Embedding(VOCABULARY, 128), encoder, nn.Linear(128, VOCABULARY))


def images() -> Tensor:
    return torch.rand(64, 3, 32, 32).to(memory_format=torch.channels_last)


def texts() -> Tensor:
    return torch.randint(VOCABULARY, (16, 100))


def texts_of_many_lengths() -> Tensor:
    return torch.randint(VOCABULARY, (16, random.randint(8, 200)))


CASES = {
    "mlp_512": Case("MLP 784-512-512-512-10, batch 128", lambda: mlp(512), lambda: torch.rand(128, 784), 150),
    "mlp_2048": Case("MLP 784-2048-2048-2048-10, batch 128", lambda: mlp(2048), lambda: torch.rand(128, 784), 40),
    "mlp_4096": Case("MLP 784-4096-4096-4096-10, batch 128", lambda: mlp(4096), lambda: torch.rand(128, 784), 15),
    "cnn": Case("CNN 32-64-128 on 32 × 32 images, batch 64", cnn, images, 25),
    "texts": Case("transformer, 20,000 words, 16 texts of 100", language_model, texts, 15),
    "lengths": Case("the same, texts of 8 to 200 words", language_model, texts_of_many_lengths, 25),
}


def main() -> int:
    given = _given()
    if given.measure:
        name, keeps = given.measure.split("=")
        print(*measure(CASES[name], keeps=keeps == "kept"))
        return 0
    print("| model | given back (ms a step) | kept (ms a step) | ratio | memory (MB) | kept (MB) |")
    print("|---|---:|---:|---:|---:|---:|")
    is_slower = False
    for name in given.models:
        rounds = [(in_a_process(name, "given back"), in_a_process(name, "kept")) for _ in range(given.rounds)]
        ratio = statistics.median(kept.milliseconds / usual.milliseconds for usual, kept in rounds)
        times = " | ".join(
            f"{statistics.median(each.milliseconds for each in how):.1f}" for how in zip(*rounds, strict=True)
        )
        sizes = " | ".join(f"{max(each.memory for each in how) / 1e6:,.0f}" for how in zip(*rounds, strict=True))
        print(f"| {CASES[name].title} | {times} | {ratio:.2f} | {sizes} |", flush=True)
        is_slower |= ratio > LIMIT
    return int(is_slower)


def in_a_process(name: str, how: str) -> Measured:
    command = [sys.executable, __file__, f"--measure={name}={how}"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    milliseconds, memory = done.stdout.split()
    return Measured(float(milliseconds), int(memory))


def measure(case: Case, *, keeps: bool) -> Measured:
    torch.manual_seed(0)
    random.seed(0)
    model, args, started = case.build(), AdamArgs(), 0.0
    optimizer = args.build(args.param_groups(model))
    with kept_freed_memory() if keeps else nullcontext():
        for number in range(case.num_steps):
            if number == FIRST_STEPS:
                started = time.process_time()
            outputs = model(case.inputs())
            outputs.flatten(0, -2).logsumexp(-1).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    milliseconds = 1000 * (time.process_time() - started) / (case.num_steps - FIRST_STEPS)
    return Measured(milliseconds, peak_memory_bytes(torch.device("cpu")) or 0)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=lambda names: names.split(","), default=list(CASES))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
