"""Draws images/augment.png: coloured shapes under each change of `AugmentArgs`. `python docs/augment.py [PATH]`."""

import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from labwright.datasets import AugmentArgs, Draws, ShapesDataArgs
from labwright.runs.plots import plot_image_rows

IMAGE_SIZE, NUM_IMAGES, PAGE_WIDTH = 64, 8, 1000
COLOURS = ((0.62, 0.72, 0.86), (1.0, 0.66, 0.2), (0.2, 0.78, 0.56), (0.82, 0.42, 0.86))
"""Of the ground, discs, squares and triangles."""
ROWS: dict[str, dict[str, Any]] = {
    "flips, crop": {"horizontal_flip": True, "vertical_flip": True, "crop_padding": 8},
    "resized crop": {"resized_crop": (0.25, 1.0)},
    "colour jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2},
    "RandAugment light": {"rand_augment": "light"},
    "RandAugment medium": {"rand_augment": "medium"},
    "RandAugment strong": {"rand_augment": "strong"},
    "3-Augment": {"three_augment": True},
    "erased": {"erase_size": 24},
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"cutmix_alpha": 1.0},
}


def coloured_shapes() -> tuple[Tensor, Tensor]:
    """Images [n, 3, height, width] in [0, 1], and the classes of their pixels [n, height, width]."""
    dataset: Any = ShapesDataArgs(num_samples=60, image_size=IMAGE_SIZE).build(Path()).train["train"]
    classes = dataset.targets[:NUM_IMAGES]
    lightness = dataset.inputs[:NUM_IMAGES] / 255
    lightness = torch.where(classes[:, None] == 0, 0.5 + 0.5 * lightness, 0.3 + 0.7 * lightness)
    return lightness * in_colour(classes), classes


def in_colour(classes: Tensor) -> Tensor:
    """The colour of each pixel's class, [n, 3, height, width]."""
    return torch.tensor(COLOURS)[classes].permute(0, 3, 1, 2)


def main(path: Path) -> None:
    images, classes = coloured_shapes()
    draws = Draws(1, torch.arange(len(images)))
    rows: dict[str, Any] = {"as they are": images.numpy()}
    for name, args in ROWS.items():
        augmentation = AugmentArgs(**args).build()
        assert augmentation is not None
        changed = augmentation(images, draws)
        if augmentation.mixing is not None:
            changed, _ = augmentation.mixing(changed, torch.zeros(len(images), dtype=torch.int64), 4, draws)
        rows[name] = changed.numpy()
        if name == "resized crop":
            rows["masks with it"] = in_colour(augmentation.masks(classes, draws)).numpy()
    title = "The same images under each change"
    plot_image_rows(rows, path, title, subtitle="Each image is changed by random numbers of its own")
    with Image.open(path) as picture:
        height = round(picture.height * PAGE_WIDTH / picture.width)
        small = picture.convert("RGB").resize((PAGE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(path, optimize=True)  # full size, the smooth grounds would take a megabyte


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images" / "augment.png"))
