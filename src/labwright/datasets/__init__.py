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
    from .args import ShardsDataArgs as ShardsDataArgs
    from .args import TextDataArgs as TextDataArgs
    from .augmentation.args import AugmentArgs as AugmentArgs
    from .augmentation.augmentation import Augmentation as Augmentation
    from .augmentation.boxes import random_erase as random_erase
    from .augmentation.draws import Draws as Draws
    from .augmentation.geometry import random_crop as random_crop
    from .augmentation.geometry import random_flip as random_flip
    from .augmentation.geometry import random_resized_crop as random_resized_crop
    from .augmentation.levels import Levels as Levels
    from .augmentation.levels import normalize as normalize
    from .augmentation.mixing import Mixing as Mixing
    from .augmentation.mixing import cutmix as cutmix
    from .augmentation.mixing import mixup as mixup
    from .augmentation.policies import ColourJitter as ColourJitter
    from .augmentation.policies import RandAugment as RandAugment
    from .augmentation.policies import three_augment as three_augment
    from .augmentation.torchvision_policies import PerSample as PerSample
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
            "AugmentArgs": ".augmentation.args",
            "Augmentation": ".augmentation.augmentation",
            "Batch": ".splits",
            "ColourJitter": ".augmentation.policies",
            "CsvDataArgs": ".args",
            "Dataset": ".splits",
            "DatasetArgs": ".args",
            "DatasetUnion": ".args",
            "DatasetView": ".view",
            "DiabetesDataArgs": ".args",
            "DigitsDataArgs": ".args",
            "DownloadError": ".download",
            "Draws": ".augmentation.draws",
            "FashionMnistDataArgs": ".args",
            "HuggingFaceDataArgs": ".args",
            "InputDataset": ".tensor",
            "JoinedDataset": ".joined",
            "Levels": ".augmentation.levels",
            "MappedDataset": ".mapped",
            "MixedDataset": ".mixed",
            "Mixing": ".augmentation.mixing",
            "MnistDataArgs": ".args",
            "Part": ".provenance",
            "PerSample": ".augmentation.torchvision_policies",
            "RandAugment": ".augmentation.policies",
            "ShapesDataArgs": ".args",
            "ShardsDataArgs": ".args",
            "Splits": ".splits",
            "TensorDataset": ".tensor",
            "TextDataArgs": ".args",
            "TextDataset": ".text",
            "ZippedDataset": ".zipped",
            "check_overlap": ".overlap",
            "cutmix": ".augmentation.mixing",
            "download": ".download",
            "fingerprint": ".splits",
            "from_huggingface": ".huggingface",
            "get_sample": ".splits",
            "hold_out": ".splits",
            "input_shape": ".splits",
            "limit": ".view",
            "map_dataset": ".mapped",
            "mixup": ".augmentation.mixing",
            "normalize": ".augmentation.levels",
            "open_images": ".images",
            "random_crop": ".augmentation.geometry",
            "random_erase": ".augmentation.boxes",
            "random_flip": ".augmentation.geometry",
            "random_resized_crop": ".augmentation.geometry",
            "read_idx": ".idx",
            "split_groups": ".grouped",
            "split_indices": ".splits",
            "split_tensors": ".tensor",
            "three_augment": ".augmentation.policies",
        },
    )
