"""What may be said about a dataset. Light: no numpy, no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from labwright.args import Args

if TYPE_CHECKING:
    from .splits import Splits

ColumnType = Literal["number", "category", "ignore"]
Task = Literal["classification", "regression"]


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

    def build(self, cache_dir: Path) -> "Splits":
        """The splits. Files, where there are any, live in `<cache_dir>/<kind>/`."""
        raise NotImplementedError(f"{type(self).__name__} needs a build(cache_dir) that returns Splits")


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


class FashionMnistDataArgs(DatasetArgs):
    """Fashion-MNIST: 70,000 pictures of clothes, 28x28, 10 classes (Xiao et al., 2017)."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    source: Literal["auto", "cache", "download"] = Field(
        default="auto", description="auto and download: cached files, else a download; cache: files already there."
    )

    def build(self, cache_dir: Path) -> "Splits":
        from .mnist import build_fashion_mnist

        return build_fashion_mnist(self, cache_dir)


class DigitsDataArgs(DatasetArgs):
    """scikit-learn's handwritten digits: 1,797 images, 8x8, 10 classes. Ships with scikit-learn."""

    kind: Literal["digits"] = "digits"
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of all samples held out for the test.")

    def build(self, cache_dir: Path) -> "Splits":
        from .digits import build_digits

        return build_digits(self.val_fraction, self.test_fraction, self.split_seed)


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
    task: Task = Field(default="classification", description="Whether the target is a class or a number.")
    columns: dict[str, ColumnType] = Field(
        default={},
        description="Types of columns, by name; a column not named here is a number if most of its cells are.",
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="What stands between cells.")

    def build(self, cache_dir: Path) -> "Splits":
        from .csv_table import build_csv

        return build_csv(self)


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


DatasetUnion = (
    MnistDataArgs | FashionMnistDataArgs | DigitsDataArgs | CsvDataArgs | DiabetesDataArgs | HuggingFaceDataArgs
)
