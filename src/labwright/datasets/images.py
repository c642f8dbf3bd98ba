"""Pictures of one's own as inputs for a model that was trained on a dataset of images."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from labwright.args import UserError
from labwright.args.reading import reading
from labwright.args.wording import one_line

from .provenance import unfold
from .splits import Splits
from .tensor import InputDataset

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")
_MODES = {1: "L", 3: "RGB"}


def open_images(path: Path, splits: Splits, *, white: int = 255, crop: bool = False) -> InputDataset:
    """The images in a folder (or one image) as inputs like those of the training set; `name` is the file's.

    They are sorted by name, made grey or coloured and resized to the training images' shape, and scaled as those are:
    the whole image, or with `crop` the middle of it that has this shape; `warnings` says so. `white` is what the
    training set stores for white. Light and dark are not swapped: MNIST and digits are light strokes on dark ground, so
    ink on paper has to be inverted first. What is transparent counts as black.

    A hidden file is passed over; anything else that is no image is a UserError, as are images of more pixels than
    Pillow's limit, which is looked up in their headers.
    """
    shape = splits.input_shape
    if not splits.is_image or len(shape) != 3 or shape[0] not in _MODES:
        raise UserError(f"{splits.name} has inputs of shape {list(shape)}, which no picture can be turned into")
    path = path.expanduser()
    paths = _image_paths(path)
    pixels, sizes = zip(*(_read(each, shape, crop=crop) for each in paths), strict=True)
    mean, std = _scaling(splits)
    inputs = InputDataset(
        torch.from_numpy(np.stack(pixels)),
        source=str(path),
        mean=mean * 255 / white,
        std=std * 255 / white,
        names=[each.name for each in paths],
    )
    inputs.warnings = _told_of_resized(paths, sizes, shape, crop=crop)
    return inputs


def _told_of_resized(
    paths: Sequence[Path], sizes: Sequence[tuple[int, int]], shape: tuple[int, ...], *, crop: bool
) -> tuple[str, ...]:
    """A line on the images, each of so many pixels (width, height), that have another shape than those trained on."""
    height, width = shape[1:]
    other = [(path.name, size) for path, size in zip(paths, sizes, strict=True) if size != (width, height)]
    if not other:
        return ()
    name, (wide, high) = other[0]
    done = "resized and cropped" if crop else "resized"
    said = f"{len(other):,} of {len(paths):,} images {'is' if len(other) == 1 else 'are'} {done} to {width} x {height}"
    return (f"{said}, which the model was trained on ({one_line(name)} is {wide} x {high})",)


def _image_paths(path: Path) -> list[Path]:
    with reading(path):
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
    paths = [each for each in paths if not each.name.startswith(".")]
    if not path.exists():
        raise UserError(f"{path} does not exist; name an image, or a folder of images")
    if not paths:
        raise UserError(f"{path} has no images in it")
    for each in paths:
        if each.is_dir():
            raise UserError(f"{each} is a folder; images have to lie in {path} itself")
        if each.suffix.lower() not in SUFFIXES:
            raise UserError(f"{each} is not an image by its name; known endings: {', '.join(SUFFIXES)}")
    return paths


def _read(path: Path, shape: tuple[int, ...], *, crop: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """The image as uint8 [channels, height, width], and the width and height that it had."""
    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about colour tables and metadata, which are not used
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:  # reads the header and compares its size with the limit
                upright = ImageOps.exif_transpose(_eight_bits(image))
        fit = ImageOps.fit if crop else Image.Image.resize
        sized = fit(upright.convert(_MODES[channels]), (width, height), Image.Resampling.BILINEAR)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on a damaged file
        reason = getattr(error, "strerror", None) or f"it is damaged, or no image ({type(error).__name__})"
        raise UserError(f"cannot read {path}: {reason}") from error
    return np.asarray(sized, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1), upright.size


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel and nothing transparent."""
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip
        return Image.fromarray((np.asarray(image, dtype=np.int64) / 257).clip(0, 255).round().astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
    return image


def _scaling(splits: Splits) -> tuple[float, float]:
    """Mean and deviation that the training images are normalized by, in their stored units."""
    for dataset in (*splits.train.values(), *splits.val.values(), *splits.test.values()):
        for part in unfold(dataset):
            mean, std = (getattr(part.dataset, name, None) for name in ("mean", "std"))
            if isinstance(mean, float) and isinstance(std, float):
                return mean, std
    raise UserError(f"{splits.name}: how its images are scaled is not known; override open_inputs of its args")
