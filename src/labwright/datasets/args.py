"""What may be said about a dataset. Light: no numpy, no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from labwright.args import Args, UserError

if TYPE_CHECKING:
    from .splits import Dataset, Splits

ColumnType = Literal["number", "category", "ignore"]
TableTask = Literal["classification", "regression"]
Task = Literal["classification", "regression", "segmentation"]


class DatasetArgs(Args):
    """Base of every dataset's args: says which data, and builds the splits.

    A dataset of your own adds `kind: Literal["mine"] = "mine"`, its fields and `build`.
    """

    val_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the samples that may be trained on, held out for validation; 0: none.",
    )
    split_seed: int = Field(
        default=0, ge=0, description="Seed of the split alone, so that comparing seeds compares training."
    )
    on_device: Literal["auto"] | bool = Field(
        default="auto",
        description="Keep the samples in the GPU's memory; auto: if they are in memory and take at most a quarter of "
        "what is free there.",
        json_schema_extra={"resume": "safe"},
    )

    def build(self, cache_dir: Path) -> "Splits":
        """The splits. Files, where there are any, live in `<cache_dir>/<kind>/`."""
        raise NotImplementedError(f"{type(self).__name__} needs a build(cache_dir) that returns Splits")

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """Samples without targets from a file or folder of one's own, made like those of `splits`, to be predicted."""
        raise UserError(
            f"{splits.name} cannot read inputs from {path}: a folder of images goes with a dataset of images, a CSV "
            f"file with csv; or give {type(self).__name__} an open_inputs(path, splits)"
        )


class MnistDataArgs(DatasetArgs):
    """MNIST: 70,000 handwritten digits, 28x28, 10 classes (LeCun et al., 1998)."""

    kind: Literal["mnist"] = "mnist"
    source: Literal["auto", "cache", "download", "digits"] = Field(
        default="auto",
        description="auto: cached files, else a download, else scikit-learn's digits upscaled, with a warning; "
        "cache: files already there; download: as auto, but no digits; digits: these at once.",
    )

    def build(self, cache_dir: Path) -> "Splits":
        from .mnist import build_mnist

        return build_mnist(self, cache_dir)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; see `open_images`, also on which is light and which dark."""
        from .images import open_images

        return open_images(path, splits)


class FashionMnistDataArgs(DatasetArgs):
    """Fashion-MNIST: 70,000 pictures of clothes, 28x28, 10 classes (Xiao et al., 2017)."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    source: Literal["auto", "cache", "download"] = Field(
        default="auto", description="auto and download: cached files, else a download; cache: files already there."
    )

    def build(self, cache_dir: Path) -> "Splits":
        from .mnist import build_fashion_mnist

        return build_fashion_mnist(self, cache_dir)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; see `open_images`, also on which is light and which dark."""
        from .images import open_images

        return open_images(path, splits)


class DigitsDataArgs(DatasetArgs):
    """scikit-learn's handwritten digits: 1,797 images, 8x8, 10 classes. Ships with scikit-learn."""

    kind: Literal["digits"] = "digits"
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of all samples held out for the test.")

    def build(self, cache_dir: Path) -> "Splits":
        from .digits import build_digits

        return build_digits(self.val_fraction, self.test_fraction, self.split_seed)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; see `open_images`, also on which is light and which dark."""
        from .digits import WHITE
        from .images import open_images

        return open_images(path, splits, white=WHITE)


class TableDataArgs(DatasetArgs):
    """Base of the tables: rows of numbers and categories, with a target column."""

    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of all rows held out for the test.")
    standardize: bool = Field(
        default=True,
        description="Shift and scale number columns to mean 0 and deviation 1, by the training rows alone.",
    )
    standardize_target: bool = Field(
        default=True,
        description="The same for a regression's target; its errors then count in standard deviations. "
        "A classification's target is never touched.",
    )


class CsvDataArgs(TableDataArgs):
    """A CSV file with a header line: one sample a row."""

    kind: Literal["csv"] = "csv"
    path: Path = Field(description="The CSV file (UTF-8).")
    target: str = Field(description="Name of the column to predict.")
    task: TableTask = Field(default="classification", description="Whether the target is a class or a number.")
    columns: dict[str, ColumnType] = Field(
        default={},
        description="Types of columns, by name; a column not named here is a number if most of its cells are.",
    )
    group: str | None = Field(
        default=None,
        description="Column whose equal values stay on one side of the split, such as a patient; no input, unless "
        "columns says its type.",
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="What stands between cells.")

    def build(self, cache_dir: Path) -> "Splits":
        from .csv_table import build_csv

        return build_csv(self)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The rows of another CSV file with the same input columns; a target column is not read."""
        from .csv_table import open_csv_inputs

        return open_csv_inputs(self, path, splits)


class DiabetesDataArgs(TableDataArgs):
    """scikit-learn's diabetes data: 442 patients, 10 numbers each, disease progression after a year (regression)."""

    kind: Literal["diabetes"] = "diabetes"

    def build(self, cache_dir: Path) -> "Splits":
        from .table import build_diabetes

        return build_diabetes(self)


class HuggingFaceDataArgs(DatasetArgs):
    """A Hugging Face dataset stored with `save_to_disk`. Needs `pip install "labwright[huggingface]"`."""

    kind: Literal["huggingface"] = "huggingface"
    path: Path = Field(description="The directory that save_to_disk wrote.")
    input: list[str] = Field(min_length=1, description="Input column: one of images or vectors, or several of numbers.")
    target: str = Field(description="Target column: classes (integers or text), or numbers for a regression.")
    test_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share of all samples held out for the test, where no test set is stored."
    )

    def build(self, cache_dir: Path) -> "Splits":
        from .huggingface import build_huggingface

        return build_huggingface(self)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; see `open_images`, also on which is light and which dark."""
        from .images import open_images

        return open_images(path, splits)


class ShapesDataArgs(DatasetArgs):
    """Discs, squares and triangles over scikit-learn's digits, made as they are asked for: the class of every pixel."""

    kind: Literal["shapes"] = "shapes"
    num_samples: int = Field(default=1000, ge=1, le=1797, description="Images; each has a digit of its own as ground.")
    image_size: int = Field(default=32, ge=16, description="Width and height in pixels.")
    data_seed: int = Field(default=0, ge=0, description="Seed of what is drawn.")
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of all images held out for the test.")

    def build(self, cache_dir: Path) -> "Splits":
        from .shapes import build_shapes

        return build_shapes(self)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; see `open_images`, also on which is light and which dark."""
        from .images import open_images

        return open_images(path, splits)


class TextDataArgs(DatasetArgs):
    """The characters of a text, to be predicted from those before; the split is by position, so `split_seed` is unused.

    The beginning is trained on; validation and test are the stretches behind it.
    """

    kind: Literal["text"] = "text"
    path: Path | None = Field(
        default=None, description="The text (UTF-8); none: docstrings of the Python standard library, always there."
    )
    context_length: int = Field(default=64, ge=1, description="Characters in a sample.")
    test_fraction: float = Field(default=0.1, ge=0, lt=1, description="Share of the text held out for the test.")

    def build(self, cache_dir: Path) -> "Splits":
        from .text import build_text

        return build_text(self)


class ShardsDataArgs(DatasetArgs):
    """Tar shards: images or arrays, and the class, mask or numbers of each. `labwright data pack` makes them."""

    kind: Literal["shards"] = "shards"
    path: Path = Field(
        description="Their directory, a tar file or a pattern of tar files: 'photos-{000..127}.tar'. What quix or "
        "WebDataset wrote will do, too."
    )
    fields: list[str] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description='Field of the input, then of the target: ["jpg", "cls"]; none: the two that there are.',
    )
    image_size: int | None = Field(
        default=None,
        ge=1,
        description="Width and height: images are resized to cover that square and cropped around their centre; none: "
        "all must be of one size.",
    )
    num_channels: Literal[1, 3] | None = Field(
        default=None, description="Make images grey (1) or coloured (3); none: as they are, all alike."
    )
    num_classes: int | None = Field(
        default=None,
        ge=1,
        description="Classes of the targets; none: as many as class_names in the metadata, or counted.",
    )
    test_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share of all samples held out for the test, where no test set is stored."
    )
    group: str | None = Field(
        default=None,
        min_length=1,
        description="What keys are cut at, where it comes last, so that samples whose keys agree before it stay on one "
        "side of the split: '_' keeps patient7_01 with patient7_02, '/' a folder.",
    )
    verify: Literal["open", "read", "off"] = Field(
        default="open",
        description="open: sizes of the files; read: also the checksum of each member that is read; off: neither.",
        json_schema_extra={"resume": "safe"},
    )

    def build(self, cache_dir: Path) -> "Splits":
        from .shards import build_shards

        return build_shards(self)

    def open_inputs(self, path: Path, splits: "Splits") -> "Dataset":
        """The images in a folder, or one image; or other shards that have the input field."""
        from .shards import open_shard_inputs

        return open_shard_inputs(self, path, splits)


DatasetUnion = (
    MnistDataArgs
    | FashionMnistDataArgs
    | DigitsDataArgs
    | CsvDataArgs
    | DiabetesDataArgs
    | HuggingFaceDataArgs
    | ShardsDataArgs
)
