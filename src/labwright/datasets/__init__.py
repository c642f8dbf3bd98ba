"""Stock datasets and what they share. Each works alone: `DigitsDataArgs().build(cache_dir).train`."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .args import CsvDataArgs as CsvDataArgs
    from .args import DatasetArgs as DatasetArgs
    from .args import DatasetUnion as DatasetUnion
    from .args import DiabetesDataArgs as DiabetesDataArgs
    from .args import DigitsDataArgs as DigitsDataArgs
    from .args import FashionMnistDataArgs as FashionMnistDataArgs
    from .args import HuggingFaceDataArgs as HuggingFaceDataArgs
    from .args import MnistDataArgs as MnistDataArgs
    from .download import DownloadError as DownloadError
    from .download import download as download
    from .huggingface import from_huggingface as from_huggingface
    from .idx import read_idx as read_idx
    from .overlap import check_overlap as check_overlap
    from .splits import Batch as Batch
    from .splits import Dataset as Dataset
    from .splits import Splits as Splits
    from .splits import get_sample as get_sample
    from .splits import split_indices as split_indices
    from .tensor import DatasetView as DatasetView
    from .tensor import TensorDataset as TensorDataset
    from .tensor import limit as limit
    from .tensor import split_tensors as split_tensors
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Batch": ".splits",
            "CsvDataArgs": ".args",
            "Dataset": ".splits",
            "DatasetArgs": ".args",
            "DatasetUnion": ".args",
            "DatasetView": ".tensor",
            "DiabetesDataArgs": ".args",
            "DigitsDataArgs": ".args",
            "DownloadError": ".download",
            "FashionMnistDataArgs": ".args",
            "HuggingFaceDataArgs": ".args",
            "MnistDataArgs": ".args",
            "Splits": ".splits",
            "TensorDataset": ".tensor",
            "check_overlap": ".overlap",
            "download": ".download",
            "from_huggingface": ".huggingface",
            "get_sample": ".splits",
            "limit": ".tensor",
            "read_idx": ".idx",
            "split_indices": ".splits",
            "split_tensors": ".tensor",
        },
    )
