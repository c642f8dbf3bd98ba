"""Shapes to be found on a ground that does not help: discs, squares and triangles over handwritten digits."""

from dataclasses import replace

import numpy as np
import torch

from .args import ShapesDataArgs
from .digits import upscaled_digits
from .splits import Splits
from .tensor import TensorDataset, split_tensors

CLASS_NAMES = ("background", "disc", "square", "triangle")
_SHAPES_STREAM = int.from_bytes(b"shape")
_SHARE_OF_EACH = 0.55


def build_shapes(args: ShapesDataArgs) -> Splits:
    """Images with up to one shape of each kind, and the class of every pixel; each digit is the ground of one image."""
    rng = np.random.Generator(np.random.PCG64([args.data_seed, _SHAPES_STREAM]))
    digits, _ = upscaled_digits(args.image_size)
    ground = digits[:, 0].numpy()
    chosen = np.argsort(rng.random(len(ground)), kind="stable")[: args.num_samples]
    images, targets = _draw(ground[chosen], rng)
    data = TensorDataset(
        torch.from_numpy(images[:, None]),
        torch.from_numpy(targets),
        source=f"shapes {args.data_seed}",
        mean=float(images.mean()),
        std=float(images.std()),
    )
    splits = split_tensors(
        data,
        name="shapes over scikit-learn digits",
        val_fraction=args.val_fraction,
        test_fraction=args.test_fraction,
        seed=args.split_seed,
        class_names=CLASS_NAMES,
        is_image=True,
    )
    return replace(splits, task="segmentation")


def _draw(ground: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The images with shapes over them, uint8 [n, size, size], and the classes of their pixels, int64."""
    num_images, size, _ = ground.shape
    num_shapes = len(CLASS_NAMES) - 1
    is_there = rng.random((num_images, num_shapes)) < _SHARE_OF_EACH
    is_there[np.arange(num_images), (rng.random(num_images) * num_shapes).astype(int)] = True  # one at least
    images, targets = ground.copy(), np.zeros(ground.shape, dtype=np.int64)
    # one rank for each image, so that no kind of shape always lies on top
    order = np.argsort(rng.random((num_images, num_shapes)), axis=1)
    for rank in range(num_shapes):
        shape = order[:, rank]
        inside = _inside(shape, size, rng) & is_there[np.arange(num_images), shape][:, None, None]
        grey = (96 + 160 * rng.random(num_images)).astype(np.uint8)
        images = np.where(inside, grey[:, None, None], images)
        targets = np.where(inside, shape[:, None, None] + 1, targets)
    return images, targets


def _inside(shape: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """For each image which pixels lie in its shape (0 disc, 1 square, 2 triangle), of random size, place and turn."""
    radius, x, y, turn = rng.random((4, len(shape), 1, 1))
    radius = size * (0.14 + 0.10 * radius)
    turn = 2 * np.pi * turn
    rows, columns = np.mgrid[:size, :size] + 0.5
    dx = columns - (radius + x * (size - 2 * radius))
    dy = rows - (radius + y * (size - 2 * radius))
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    disc = u**2 + v**2 <= radius**2
    square = np.maximum(abs(u), abs(v)) <= radius / np.sqrt(2)
    # inside all three edges, each half a radius from the centre
    triangle = np.maximum.reduce([v, -v / 2 + np.sqrt(3) / 2 * u, -v / 2 - np.sqrt(3) / 2 * u]) <= radius / 2
    return np.choose(shape[:, None, None], [disc, square, triangle])
