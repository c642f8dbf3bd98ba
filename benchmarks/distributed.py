"""What several processes cost: labwright by torchrun against bare loops with DistributedDataParallel.

    python benchmarks/distributed.py [--samples=12800] [--epochs=3] [--rounds=3] [--ranks=1,2] [--workloads=tiny,wide]

MLPs (784-64-10 with batches of 64 in all, 784-512-512-10 with 128; Adam) on synthetic images, gloo on the CPU, one
thread each. Samples a second of training, from the second epoch on, and CPU time (user and system) of all processes,
each whole; interleaved, medians, and medians of the ratios of one round. Prints Markdown tables; there is no limit.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
NUM_INPUTS, NUM_CLASSES = 784, 10
WORKLOADS: dict[str, tuple[list[int], int]] = {"tiny": ([64], 64), "wide": ([512, 512], 128)}
"""Hidden sizes, and the samples of a batch of all ranks."""
ROWS = {"bare": "bare loop", "fused": "bare loop, fused Adam", "labwright": "labwright"}


class Job(NamedTuple):
    """One measurement."""

    row: str
    workload: str
    samples: int
    epochs: int

    @property
    def hidden_sizes(self) -> list[int]:
        return WORKLOADS[self.workload][0]

    @property
    def batch_size(self) -> int:
        return WORKLOADS[self.workload][1]


def main() -> int:
    given = _given()
    if given.child is not None:
        job = Job(given.child, given.workloads, given.samples, given.epochs)
        report(with_labwright(job) if job.row == "labwright" else bare(job))
        return 0
    ranks = [int(number) for number in given.ranks.split(",")]
    for workload in given.workloads.split(","):
        rows = [(name, number) for number in ranks for name in ROWS]
        seconds: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
        speeds: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
        for _ in range(given.rounds):
            for name, number in rows:
                speed, cpu = measured(Job(name, workload, given.samples, given.epochs), number)
                speeds[name, number].append(speed)
                seconds[name, number].append(cpu)
        sizes = "-".join(map(str, [NUM_INPUTS, *WORKLOADS[workload][0], NUM_CLASSES]))
        print(f"\n| MLP {sizes}, batch {WORKLOADS[workload][1]} | processes | samples/s | CPU s | of the bare loop |")
        print("|---|---:|---:|---:|---:|")
        for name, number in rows:
            speed, cpu = statistics.median(speeds[name, number]), statistics.median(seconds[name, number])
            pairs = zip(speeds[name, number], speeds["bare", number], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            print(f"| {ROWS[name]} | {number} | {speed:,.0f} | {cpu:.1f} | {ratio:.2f} |", flush=True)
    return 0


def measured(job: Job, num_ranks: int) -> tuple[float, float]:
    """Samples a second of training, and CPU seconds of all processes."""
    words = [
        f"--child={job.row}",
        f"--workloads={job.workload}",
        f"--samples={job.samples}",
        f"--epochs={job.epochs}",
    ]
    launcher = [*TORCHRUN, f"--nproc_per_node={num_ranks}"] if num_ranks > 1 else [sys.executable]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*launcher, str(Path(__file__).resolve()), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.splitlines()[-1])["samples_per_second"], cpu


def bare(job: Job) -> float:
    """The loop that one writes by hand, each rank with its half of every batch."""
    import torch
    import torch.distributed as dist
    import torch.distributed.nn  # before there is a group, which it would keep: its threads may abort at exit
    from torch import nn
    from torch.nn.functional import cross_entropy
    from torch.nn.parallel import DistributedDataParallel

    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    inputs, targets = images(job.samples)
    torch.manual_seed(0)
    sizes = [NUM_INPUTS, *job.hidden_sizes]
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    model: nn.Module = nn.Sequential(*layers, nn.Linear(sizes[-1], NUM_CLASSES))
    if size > 1:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), fused=True if job.row == "fused" else None)
    started, share = 0.0, job.batch_size // size
    for epoch in range(job.epochs):
        if epoch == 1:
            started = time.perf_counter()
        order = torch.randperm(job.samples, generator=torch.Generator().manual_seed(epoch))
        for start in range(rank * share, job.samples, job.batch_size):
            index = order[start : start + share]
            loss = cross_entropy(model(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    speed = job.samples * (job.epochs - 1) / (time.perf_counter() - started)
    if size > 1:
        del model  # as this would
        dist.destroy_process_group()
    return speed


def with_labwright(job: Job) -> float:
    """The same by labwright, with its history, checkpoints and the plot at the end."""
    from pydantic import Field

    from labwright import Experiment, ExperimentArgs, Hook, MachineConfig, RunOptions
    from labwright.datasets import Splits, TensorDataset
    from labwright.models import MLPArgs
    from labwright.optimizers import AdamArgs

    class BenchmarkArgs(ExperimentArgs):
        """An MLP."""

        model: MLPArgs = Field(default=MLPArgs(hidden_sizes=job.hidden_sizes), description="The model.")
        optimizer: AdamArgs = Field(default=AdamArgs(), description="What updates the weights.")

    class Benchmark(Experiment[BenchmarkArgs]):
        def build_datasets(self) -> Splits:
            inputs, targets = images(job.samples)
            return Splits(
                name="synthetic",
                task="classification",
                num_outputs=NUM_CLASSES,
                train={"train": TensorDataset(inputs, targets, source="synthetic")},
            )

        def build_hooks(self) -> list[Hook[object]]:
            return [clock]

    class Clock(Hook[object]):
        seconds = started = 0.0

        def on_dataset_start(self, loop: object) -> None:
            self.started = time.perf_counter()

        def on_dataset_end(self, loop: object) -> None:
            if experiment.epoch > 1:
                self.seconds += time.perf_counter() - self.started

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        machine = MachineConfig(results_dir=Path(folder), use_cuda=False)
        experiment = Benchmark(BenchmarkArgs(epochs=job.epochs, batch_size=job.batch_size), machine)
        experiment.run(RunOptions(snapshot=False, predictions="none"))
    return job.samples * (job.epochs - 1) / clock.seconds


def images(samples: int):
    """Inputs and targets, the same everywhere."""
    import torch

    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(NUM_CLASSES, (samples,), generator=generator)
    return torch.rand(samples, NUM_INPUTS, generator=generator), targets


def report(speed: float) -> None:
    """Rank 0 says how fast it was."""
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({"samples_per_second": speed}), flush=True)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=12_800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--workloads", default="tiny,wide")
    parser.add_argument("--child", choices=list(ROWS), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
