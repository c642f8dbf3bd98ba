"""Points on the arms of a spiral."""

import numpy as np
import torch
from labwright.datasets import Splits, TensorDataset
from labwright.datasets.splits import fingerprint, hold_out

from .args import SpiralDataArgs


def build_spirals(args: SpiralDataArgs) -> Splits:
    """The points which `args` describes, the same ones for the same args, split by `split_seed`."""
    points, arms = _draw(args)
    train, val, test = hold_out(
        arms, val_fraction=args.val_fraction, test_fraction=args.test_fraction, seed=args.split_seed
    )
    data = TensorDataset(torch.from_numpy(points), torch.from_numpy(arms), source="spirals")
    return Splits(
        train={"train": data.subset(train)},
        val={"val": data.subset(val)} if len(val) else {},
        test={"test": data.subset(test)} if len(test) else {},
        name=f"{args.num_arms} spirals",
        task="classification",
        num_outputs=args.num_arms,
        class_names=tuple(f"arm {arm}" for arm in range(args.num_arms)),
        fingerprint=fingerprint(points, arms),
    )


def _draw(args: SpiralDataArgs) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 2] and the arm of each."""
    rng = np.random.default_rng(1957)
    arms = np.arange(args.num_points) % args.num_arms
    radius = rng.uniform(0.1, 1.0, args.num_points)
    angle = 2 * np.pi * (radius + arms / args.num_arms)
    points = radius * np.stack([np.cos(angle), np.sin(angle)])
    points = points.T + rng.normal(0, args.noise_sd, (args.num_points, 2))
    return points.astype(np.float32), arms.astype(np.int64)
