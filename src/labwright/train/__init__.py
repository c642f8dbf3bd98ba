"""The PyTorch side of training, each piece usable alone."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .arithmetic import flushed_denormals as flushed_denormals
    from .arithmetic import matmul_precision as matmul_precision
    from .batch import Batch as Batch
    from .batch import Loss as Loss
    from .batch import to_device as to_device
    from .checkpoint import CheckpointError as CheckpointError
    from .checkpoint import flatten_state as flatten_state
    from .checkpoint import restore_state as restore_state
    from .clipping import clip_gradients as clip_gradients
    from .device import choose_device as choose_device
    from .device import describe as describe
    from .device import peak_memory_bytes as peak_memory_bytes
    from .early_stopping import BestTracker as BestTracker
    from .early_stopping import EarlyStopping as EarlyStopping
    from .ema import EMA as EMA
    from .fetch import stack as stack
    from .freed_memory import kept_freed_memory as kept_freed_memory
    from .frozen import frozen as frozen
    from .loaders import Loader as Loader
    from .loaders import build_loader as build_loader
    from .loop import TrainLoop as TrainLoop
    from .loop import state_of as state_of
    from .losses import stock_loss as stock_loss
    from .noise import add_noise as add_noise
    from .nonfinite import NonFiniteLoss as NonFiniteLoss
    from .placement import Placement as Placement
    from .position import Position as Position
    from .routing import RoutedForward as RoutedForward
    from .seeding import isolated_rng as isolated_rng
    from .seeding import rng_state as rng_state
    from .seeding import seed_everything as seed_everything
    from .seeding import set_rng_state as set_rng_state
    from .seeds import derive_seed as derive_seed
    from .stepper import Stepper as Stepper
    from .weights import load_from_checkpoint as load_from_checkpoint
    from .weights import load_into as load_into
    from .weights import load_weights as load_weights
    from .weights import model_bytes as model_bytes
    from .worker_errors import BatchOverdue as BatchOverdue
    from .worker_errors import WorkerDied as WorkerDied
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Batch": ".batch",
            "BatchOverdue": ".worker_errors",
            "BestTracker": ".early_stopping",
            "CheckpointError": ".checkpoint",
            "EMA": ".ema",
            "EarlyStopping": ".early_stopping",
            "Loader": ".loaders",
            "kept_freed_memory": ".freed_memory",
            "Loss": ".batch",
            "NonFiniteLoss": ".nonfinite",
            "Placement": ".placement",
            "Position": ".position",
            "RoutedForward": ".routing",
            "Stepper": ".stepper",
            "WorkerDied": ".worker_errors",
            "TrainLoop": ".loop",
            "add_noise": ".noise",
            "build_loader": ".loaders",
            "choose_device": ".device",
            "clip_gradients": ".clipping",
            "derive_seed": ".seeds",
            "describe": ".device",
            "flatten_state": ".checkpoint",
            "flushed_denormals": ".arithmetic",
            "frozen": ".frozen",
            "isolated_rng": ".seeding",
            "load_from_checkpoint": ".weights",
            "load_into": ".weights",
            "load_weights": ".weights",
            "matmul_precision": ".arithmetic",
            "model_bytes": ".weights",
            "peak_memory_bytes": ".device",
            "restore_state": ".checkpoint",
            "rng_state": ".seeding",
            "seed_everything": ".seeding",
            "set_rng_state": ".seeding",
            "stack": ".fetch",
            "state_of": ".loop",
            "stock_loss": ".losses",
            "to_device": ".batch",
        },
    )
