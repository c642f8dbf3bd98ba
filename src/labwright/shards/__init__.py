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
    from .rebuilt import Rebuilt as Rebuilt
    from .rebuilt import rebuild as rebuild
    from .writer import ShardWriter as ShardWriter
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Damage": ".damage",
            "Opened": ".opened",
            "OpenedSplit": ".opened",
            "Permutation": ".order",
            "Rebuilt": ".rebuilt",
            "ShardDataset": ".dataset",
            "ShardError": ".errors",
            "ShardWriter": ".writer",
            "merge_parts": ".merge",
            "open_dataset": ".opened",
            "rebuild": ".rebuilt",
            "verify": ".damage",
        },
    )
