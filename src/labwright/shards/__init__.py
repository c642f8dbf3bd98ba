"""Datasets in tar files: written, opened, read, checked. Without an experiment: `ShardDataset("flowers", "train")`."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .damage import Damage as Damage
    from .damage import verify as verify
    from .dataset import ShardDataset as ShardDataset
    from .errors import ShardError as ShardError
    from .merge import merge_parts as merge_parts
    from .opened import Opened as Opened
    from .opened import OpenedSplit as OpenedSplit
    from .opened import open_dataset as open_dataset
    from .order import Permutation as Permutation
    from .packing import Packed as Packed
    from .packing import pack as pack
    from .rebuilt import Rebuilt as Rebuilt
    from .rebuilt import rebuild as rebuild
    from .sources.base import Source as Source
    from .sources.csv_manifest import csv_source as csv_source
    from .sources.folder import folder_source as folder_source
    from .sources.huggingface import huggingface_source as huggingface_source
    from .sources.idx import idx_source as idx_source
    from .sources.stored import stored_source as stored_source
    from .writer import ShardWriter as ShardWriter
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Damage": ".damage",
            "Opened": ".opened",
            "OpenedSplit": ".opened",
            "Packed": ".packing",
            "Permutation": ".order",
            "Rebuilt": ".rebuilt",
            "ShardDataset": ".dataset",
            "ShardError": ".errors",
            "ShardWriter": ".writer",
            "Source": ".sources.base",
            "csv_source": ".sources.csv_manifest",
            "folder_source": ".sources.folder",
            "huggingface_source": ".sources.huggingface",
            "idx_source": ".sources.idx",
            "merge_parts": ".merge",
            "open_dataset": ".opened",
            "pack": ".packing",
            "rebuild": ".rebuilt",
            "stored_source": ".sources.stored",
            "verify": ".damage",
        },
    )
