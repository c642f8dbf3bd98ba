"""MNIST and Fashion-MNIST from IDX files: in the cache, else downloaded."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from labwright.args import UserError

from .args import FashionMnistDataArgs, MnistDataArgs
from .digits import build_upscaled_digits
from .download import DownloadError, download
from .idx import Idx, read_idx
from .published import FASHION_MNIST, MNIST, PublishedFile, PublishedSet
from .splits import Splits, fingerprint, hold_out
from .tensor import TensorDataset


def build_mnist(args: MnistDataArgs, cache_dir: Path, published: PublishedSet = MNIST) -> Splits:
    """MNIST; with `source=auto` and nothing to be had, scikit-learn's digits and a warning that says so."""
    if args.source == "digits":
        return build_upscaled_digits(args.val_fraction, args.split_seed)
    try:
        return _build(args, cache_dir / published.kind, published, may_download=args.source != "cache")
    except DownloadError as error:
        if args.source == "download":
            raise
        what = "scikit-learn's 1,797 handwritten digits, upscaled from 8x8 to 28x28"
        warning = f"THIS IS NOT MNIST but {what}: {error}"
        return build_upscaled_digits(args.val_fraction, args.split_seed, warnings=(warning,))


def build_fashion_mnist(args: FashionMnistDataArgs, cache_dir: Path, published: PublishedSet = FASHION_MNIST) -> Splits:
    """Fashion-MNIST; a UserError that says where to put its files when they are neither cached nor to be had."""
    return _build(args, cache_dir / published.kind, published, may_download=args.source != "cache")


def _build(
    args: MnistDataArgs | FashionMnistDataArgs, directory: Path, published: PublishedSet, *, may_download: bool
) -> Splits:
    paths = _provide(directory, published, may_download=may_download)
    contents = [read_idx(path, magic=file.magic) for path, file in zip(paths, published.files, strict=True)]
    train = _pair(paths[0], contents[0], paths[1], contents[1], published, source="train")
    test = _pair(paths[2], contents[2], paths[3], contents[3], published, source="test")
    if train.input_shape != test.input_shape:
        raise UserError(f"{paths[0]} has images of {train.input_shape[1:]}, {paths[2]} of {test.input_shape[1:]}")
    train_indices, val_indices, _ = hold_out(
        train.targets.numpy(), val_fraction=args.val_fraction, test_fraction=0, seed=args.split_seed
    )
    changed = [
        path.name
        for path, content, file in zip(paths, contents, published.files, strict=True)
        if not _is_published(path, content, file)
    ]
    name, warnings = published.title, ()
    if changed:
        name = f"{published.title} from local files ({len(train):,} + {len(test):,} images)"
        warnings = (
            f"{published.title}: {', '.join(changed)} in {directory} are not the published files "
            "(their SHA-256 differs); used as they are.",
        )
    return Splits(
        train={"train": train.subset(train_indices)},
        val={"val": train.subset(val_indices)} if len(val_indices) else {},
        test={"test": test},
        name=name,
        task="classification",
        num_outputs=len(published.class_names),
        class_names=published.class_names,
        is_image=True,
        warnings=warnings,
        fingerprint=fingerprint(*(content.sha256 for content in contents)),
    )


def _provide(directory: Path, published: PublishedSet, *, may_download: bool) -> list[Path]:
    """Paths of the four files. What is missing is downloaded, if what is there belongs to it."""
    found = {file: path for file in published.files if (path := _cached(directory, file)) is not None}
    missing = [file for file in published.files if file not in found]
    if not missing:
        return [found[file] for file in published.files]
    advice = f"put {_names(published.files)} (with or without .gz) into {directory}"
    if found:
        lacks = f"{directory} has {len(found)} of the four IDX files and lacks {_names(missing)}"
        if not all(_is_published(path, None, file) for file, path in found.items()):
            raise UserError(
                f"{lacks}; add yours (the published ones are not mixed with other files), or remove the rest"
            )
        if not may_download:
            raise UserError(f"{lacks}: {advice}")
        advice = f"{lacks}: {advice}"
    elif not may_download:
        raise UserError(f"there is no {published.title} in {directory}: {advice}")
    try:
        for file in missing:
            path = directory / f"{file.name}.gz"
            download([f"{mirror}{path.name}" for mirror in published.mirrors], path, sha256=file.sha256)
            found[file] = path
    except DownloadError as error:
        raise DownloadError(f"{error}: {advice}") from error
    return [found[file] for file in published.files]


def _names(files: Sequence[PublishedFile]) -> str:
    return ", ".join(file.name for file in files)


def _cached(directory: Path, file: PublishedFile) -> Path | None:
    candidates = (directory / f"{file.name}.gz", directory / file.name)
    return next((path for path in candidates if path.exists()), None)


def _is_published(path: Path, content: Idx | None, file: PublishedFile) -> bool:
    """Whether the file, or what is in it (people recompress), is what was published."""
    if content is not None and content.sha256 == file.content_sha256:
        return True
    try:
        stream = path.open("rb")
    except OSError:
        return False
    with stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def _pair(
    images_path: Path, images: Idx, labels_path: Path, labels: Idx, published: PublishedSet, *, source: str
) -> TensorDataset:
    """Images as uint8 [N, 1, H, W] and their labels."""
    num_images, num_labels = len(images.array), len(labels.array)
    if num_images != num_labels:
        raise UserError(f"{images_path} has {num_images:,} images but {labels_path} has {num_labels:,} labels")
    if images.array.size == 0:
        raise UserError(f"{images_path} holds no images: its sizes are {' x '.join(map(str, images.array.shape))}")
    highest = int(labels.array.max())
    if highest >= len(published.class_names):
        position = int(np.argmax(labels.array == highest))
        num_classes = len(published.class_names)
        raise UserError(
            f"{labels_path} has the label {highest} (at {position}); {published.title} has {num_classes} classes"
        )
    return TensorDataset(
        torch.from_numpy(images.array).unsqueeze(1),
        torch.from_numpy(labels.array).long(),
        source=f"{published.kind}/{source}",
        mean=published.mean,
        std=published.std,
    )
