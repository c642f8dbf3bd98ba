"""How the metrics of a run spread over the batches of its splits."""

from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs
from labwright.runs.plots import plot_batch_histograms

if TYPE_CHECKING:
    from labwright.experiment import Experiment


def plot_histograms(experiment: "Experiment[ExperimentArgs]") -> list[Path]:
    """histogram_<metric>.png: each metric over the batches of every split, with the weights as they are."""
    import torch

    splits = experiment.splits
    values: dict[str, dict[str, list[float]]] = {}
    experiment.model.eval()
    with torch.inference_mode():
        for split, dataset in {**splits.train, **splits.val, **splits.test}.items():
            for batch in experiment.build_loader(dataset, split, training=False):
                meter = experiment.new_meter()
                batch = experiment.prepare_batch(batch, training=False)
                meter.update(experiment.eval_batch(batch), batch)
                for metric, value in meter.compute().items():
                    values.setdefault(metric, {}).setdefault(split, []).append(value)
    drawn: list[Path] = []
    for metric, by_split in values.items():
        path = experiment.run_directory.path / f"histogram_{metric}.png"
        plot_batch_histograms(by_split, metric, path, f"{experiment.args.experiment_id}: {splits.name}")
        drawn.append(path)
    return drawn
