"""Where an epoch is to be taken up: what `Loader.state_dict` gives, read back with care."""

from collections.abc import Mapping
from typing import Any, TypedDict

from labwright.args.errors import UserError


class LoaderState(TypedDict):
    """How far a loader has come: JSON values."""

    epoch: int
    samples_consumed: int
    """Of the epoch, over all ranks."""
    seed: int
    shuffle: bool
    dataset: str
    """Its fingerprint; of one that says none, how many samples it has."""


def batches_done(
    state: Mapping[str, Any], *, seed: int, shuffle: bool, dataset: str, batch_size: int, num_samples: int
) -> int:
    """How many batches to leave out; a UserError if `state` is not one of a loader such as this."""
    epoch, consumed, seed_of_state = (_count(state, name) for name in ("epoch", "samples_consumed", "seed"))
    if state.get("dataset") != dataset:
        raise UserError(
            f"the state is one of another dataset ({_short(state.get('dataset'))}; this one is {_short(dataset)}): "
            "its position means nothing here"
        )
    if state.get("shuffle") is not shuffle:
        order = f"the state is one of an order with shuffle={state.get('shuffle')}, not {shuffle}"
        raise UserError(f"{order}; give that to build_loader")
    if seed_of_state != seed:
        raise UserError(
            f"the state is one of an order with seed={seed_of_state}, not {seed}; give that to build_loader"
        )
    if consumed == num_samples:
        return -(-num_samples // batch_size)
    if consumed > num_samples or consumed % batch_size:
        raise UserError(
            f"the state is {consumed:,} samples into epoch {epoch}, which is no whole number of batches of "
            f"{batch_size} among {num_samples:,}; use the batch_size it was saved with"
        )
    return consumed // batch_size


def _count(state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"this is no state of a loader: its {name} is {value!r}, which is no count")
    return value


def _short(fingerprint: object) -> str:
    return f"{fingerprint:.12}..." if isinstance(fingerprint, str) and len(fingerprint) > 20 else str(fingerprint)
