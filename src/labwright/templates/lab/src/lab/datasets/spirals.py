"""Points on the arms of a spiral."""

import numpy as np
import torch
from labwright.datasets import Splits, TensorDataset, split_tensors

from .args import SpiralDataArgs


def build_spirals(args: SpiralDataArgs) -> Splits:
    """The points which `args` describes, the same ones for the same args."""
    rng = np.random.default_rng(1957)
    arms = np.arange(args.num_points) % args.num_arms
    radius = rng.uniform(0.1, 1.0, args.num_points)
    angle = 2 * np.pi * (radius + arms / args.num_arms)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    points += rng.normal(0, args.noise_sd, points.shape)
    return split_tensors(
        TensorDataset(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(arms), source="spirals"),
        name=f"{args.num_arms} spirals",
        val_fraction=args.val_fraction,
        test_fraction=args.test_fraction,
        seed=args.split_seed,
        class_names=tuple(f"arm {arm}" for arm in range(args.num_arms)),
    )
