"""What the fingerprints of a training cost: steps of an MLP 784-64-10 with batches of 64, with and without them.

    python benchmarks/fingerprints.py [--rounds=300] [--steps=50] [--device=cuda]

CPU time of this process on one thread, interleaved so that a busy machine slows both alike; medians of the rounds, and
of the ratio of neighbours. With --device=cuda wall time, the device waited for at the end of each round. Prints a
Markdown table and exits 1 where fingerprints cost more than 3 %.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from labwright.runs.proof.fingerprints import FILE_NAME, FingerprintLog
from labwright.train import Stepper, build_loader, to_device
from labwright.train.fingerprints import Fingerprinter

LIMIT = 1.03
BATCH_SIZE = 64


class Images:
    """Random ones of MNIST's shape, fetched a batch at a time."""

    draws_random_numbers = False

    def __init__(self, length: int) -> None:
        self.inputs = torch.rand(length, 784)
        self.targets = torch.randint(10, (length,))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, positions: list[int]) -> dict[str, Tensor]:
        index = torch.tensor(positions)
        return {"input": self.inputs[index], "target": self.targets[index]}


class Training:
    """A model and its loop; an epoch is `num_steps` steps."""

    def __init__(self, num_steps: int, device: torch.device, log: FingerprintLog) -> None:
        torch.manual_seed(0)
        self.device = device
        self.loader = build_loader(Images(num_steps * BATCH_SIZE), BATCH_SIZE, shuffle=True, seed=0, source="train")
        self.model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=device.type == "cuda")
        self.stepper = Stepper(device=device)
        self.fingerprinter = Fingerprinter(log, device)

    def seconds(self, epoch: int, *, with_fingerprints: bool) -> float:
        """What one epoch takes."""
        on_gpu = self.device.type == "cuda"
        clock = time.perf_counter if on_gpu else time.process_time
        self.loader.set_epoch(epoch)
        self.stepper.on_step = self.fingerprinter.add_step if with_fingerprints else None
        started = clock()
        self._run(epoch, self.fingerprinter if with_fingerprints else None)
        if on_gpu:
            torch.cuda.synchronize()
        return clock() - started

    def _run(self, epoch: int, fingerprinter: Fingerprinter | None) -> None:
        stepper = self.stepper
        for step, batch in enumerate(stepper.each(self.loader), start=1):
            if fingerprinter is not None:
                fingerprinter.add_batch(batch)
            batch = to_device(batch, self.device)
            with stepper.forward(self.model):
                loss = nn.functional.cross_entropy(self.model(batch["input"]), batch["target"])
            stepper.update(loss, self.optimizer, weight=len(batch["target"]))
            if fingerprinter is not None and stepper.closes_window:
                fingerprinter.close_window(step, epoch, loss)
        stepper.check()


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        log = FingerprintLog(Path(folder) / FILE_NAME)
        training = Training(given.steps, torch.device(given.device), log)
        rounds = [_round(training, number) for number in range(given.rounds + 10)][10:]
        training.fingerprinter.close()
    without, with_them = (statistics.median(column) / given.steps * 1e6 for column in zip(*rounds, strict=True))
    ratio = statistics.median(taken / plain for plain, taken in rounds)
    print(f"| {given.device} | microseconds a step |\n|---|---:|")
    print(f"| without | {without:.1f} |\n| with fingerprints | {with_them:.1f} |\n| ratio | {ratio:.4f} |")
    return int(ratio > LIMIT)


def _round(training: Training, number: int) -> tuple[float, float]:
    """The seconds of an epoch without and one with fingerprints; who goes first takes turns."""
    seconds = {each: training.seconds(number, with_fingerprints=each) for each in (number % 2 == 0, number % 2 == 1)}
    return seconds[False], seconds[True]


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
