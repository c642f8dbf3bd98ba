"""How far a run has come, of any experiment: what its checkpoints hold besides the experiment's own state."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.train import Position

if TYPE_CHECKING:
    from labwright.bare import BareExperiment


def run_state(experiment: "BareExperiment[ExperimentArgs]") -> dict[str, Any]:
    """Position, best epoch, patience, progress within the epoch, and the length of every file that grows."""
    stopping, progress = experiment.early_stopping, experiment.progress
    num_rows = experiment.recorder.num_rows()
    if progress is not None:
        num_rows["artifacts"] = progress["artifacts"]
    return {
        "position": asdict(experiment.position),
        "best": experiment.best.state_dict(),
        "early_stopping": None if stopping is None else stopping.state_dict(),
        "is_over": progress is None and experiment.is_stopped("experiment"),
        "progress": progress,
        "num_rows": num_rows,
    }


def load_run_state(experiment: "BareExperiment[ExperimentArgs]", state: dict[str, Any]) -> dict[str, Any]:
    """Bring the experiment to where `run_state` found it; the length that each file had then."""
    experiment.position = Position(**state["position"])
    experiment.best.load_state_dict(state["best"])
    if experiment.early_stopping is not None and state["early_stopping"] is not None:
        experiment.early_stopping.load_state_dict(state["early_stopping"])
    experiment.is_over = state.get("is_over", False)
    progress = experiment.interrupted = state["progress"]
    experiment.epoch = experiment.position.epoch - (progress is not None)
    if progress is not None:
        experiment.metrics_before = progress["epoch_metrics"]
    return state["num_rows"]
