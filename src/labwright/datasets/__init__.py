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
    from .args import ShapesDataArgs as ShapesDataArgs
    from .args import TextDataArgs as TextDataArgs
    from .download import DownloadError as DownloadError
    from .download import download as download
    from .grouped import split_groups as split_groups
    from .huggingface import from_huggingface as from_huggingface
    from .idx import read_idx as read_idx
    from .images import open_images as open_images
    from .joined import JoinedDataset as JoinedDataset
    from .mapped import MappedDataset as MappedDataset
    from .mapped import map_dataset as map_dataset
    from .mixed import MixedDataset as MixedDataset
    from .overlap import check_overlap as check_overlap
    from .provenance import Part as Part
    from .splits import Batch as Batch
    from .splits import Dataset as Dataset
    from .splits import Splits as Splits
    from .splits import fingerprint as fingerprint
    from .splits import get_sample as get_sample
    from .splits import hold_out as hold_out
    from .splits import input_shape as input_shape
    from .splits import split_indices as split_indices
    from .tensor import InputDataset as InputDataset
    from .tensor import TensorDataset as TensorDataset
    from .tensor import split_tensors as split_tensors
    from .text import TextDataset as TextDataset
    from .view import DatasetView as DatasetView
    from .view import limit as limit
    from .zipped import ZippedDataset as ZippedDataset
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Batch": ".splits",
            "CsvDataArgs": ".args",
            "Dataset": ".splits",
            "DatasetArgs": ".args",
            "DatasetUnion": ".args",
            "DatasetView": ".view",
            "DiabetesDataArgs": ".args",
            "DigitsDataArgs": ".args",
            "DownloadError": ".download",
            "FashionMnistDataArgs": ".args",
            "HuggingFaceDataArgs": ".args",
            "InputDataset": ".tensor",
            "JoinedDataset": ".joined",
            "MappedDataset": ".mapped",
            "MixedDataset": ".mixed",
            "MnistDataArgs": ".args",
            "Part": ".provenance",
            "ShapesDataArgs": ".args",
            "Splits": ".splits",
            "TensorDataset": ".tensor",
            "TextDataArgs": ".args",
            "TextDataset": ".text",
            "ZippedDataset": ".zipped",
            "check_overlap": ".overlap",
            "download": ".download",
            "fingerprint": ".splits",
            "from_huggingface": ".huggingface",
            "get_sample": ".splits",
            "hold_out": ".splits",
            "input_shape": ".splits",
            "limit": ".view",
            "map_dataset": ".mapped",
            "open_images": ".images",
            "read_idx": ".idx",
            "split_groups": ".grouped",
            "split_indices": ".splits",
            "split_tensors": ".tensor",
        },
    )
