"""Whether each tracker will take a run, found out without making one there."""

import netrc
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from labwright.args import ExperimentArgs
from labwright.args.base import canonical
from labwright.trackers import RunInfo, TensorBoardTracker, Tracker, WandbTracker

from .checks import Check

if TYPE_CHECKING:
    from labwright.bare import BareExperiment


def try_tracker(tracker: Tracker, experiment: "BareExperiment[ExperimentArgs]", folder: Path, check: Check) -> None:
    """Fill the check of a tracker; one that is not ours is not started, since it may leave a run behind."""
    if isinstance(tracker, WandbTracker):
        _try_wandb(tracker, experiment, check)
    elif isinstance(tracker, TensorBoardTracker):
        args = experiment.args
        tracker.start(RunInfo(experiment_id=args.experiment_id, run_dir=folder, config=canonical(args)))
        tracker.log_epoch(1, 1, {"val/loss": 0.0})
        tracker.finish("finished", {}, [])
        check.note = "events are written"
    else:
        check.status, check.note = "not tried", "it is there; to start it might leave a run behind"


def _try_wandb(tracker: WandbTracker, experiment: "BareExperiment[ExperimentArgs]", check: Check) -> None:
    """W&B itself is not asked: that would make a run, or wait for a network."""
    if tracker.mode != "online":
        check.note = f"records {tracker.mode}"
    elif experiment.machine.wandb_api_key or os.environ.get("WANDB_API_KEY") or _has_login():
        check.note = "there is a key; whether W&B takes it is seen when the run begins, which records offline if not"
    else:
        check.warn("there is no key (run wandb login, or set WANDB_API_KEY): the run is recorded offline")


def _has_login() -> bool:
    """Whether `wandb login` has left a key for the server."""
    server = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with suppress(OSError, netrc.NetrcParseError):
            return netrc.netrc(str(path)).authenticators(server) is not None
    return False
