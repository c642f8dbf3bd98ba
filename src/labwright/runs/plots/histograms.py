"""How a metric is spread over the batches of each split."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from .panels import role
from .style import BLUE, GREEN, INK, MUTED, VERMILLION, label_axes, number, picture, plain, pretty_name


def plot_batch_histograms(values: Mapping[str, Sequence[float]], metric: str, path: Path, title: str) -> None:
    """Draws a histogram per split of a metric's value in each batch, below each other on one scale.

    The line is the median. Values that are not finite are counted, not drawn.
    """
    import numpy as np

    finite = {split: [value for value in batches if math.isfinite(value)] for split, batches in values.items()}
    everything = np.array([value for batches in finite.values() for value in batches])
    bins = np.histogram_bin_edges(everything, bins=_num_bins(finite)) if everything.size else np.linspace(0, 1, 2)
    subtitle = f"{pretty_name(metric)} of each batch; the black line is the median"
    with picture(path, title, subtitle=subtitle, width=5.6, height=max(1, len(values)) * 1.55 + 0.3) as figure:
        panels = figure.subplots(max(1, len(values)), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (split, batches) in zip(panels, finite.items(), strict=False):
            color = {"train": BLUE, "test": GREEN}.get(role(split), VERMILLION)
            label_axes(axes, plain(split), [_note(values[split], batches)])
            if not batches:
                axes.set_yticks([])
                continue
            axes.hist(batches, bins=bins, color=color, edgecolor="white", linewidth=0.5)
            axes.axvline(float(np.median(batches)), color=INK, linewidth=1.2)
            axes.grid(axis="y")
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
        panels[-1].set_xlabel(plain(pretty_name(metric)))
        figure.supylabel("Batches", fontsize=8.5, color=MUTED)


def _num_bins(finite: Mapping[str, Sequence[float]]) -> int:
    """Few enough that the smallest split still has a shape, and at most 40."""
    sizes = [len(batches) for batches in finite.values() if batches]
    return max(10, min(40, 2 * math.isqrt(max(sizes, default=0))))


def _note(batches: Sequence[float], finite: Sequence[float]) -> str:
    import numpy as np

    parts = [f"{len(batches):,} batch{'' if len(batches) == 1 else 'es'}"]
    if finite:
        low, middle, high = (number(float(value)) for value in np.percentile(finite, [0, 50, 100]))
        parts.append(f"median {middle}, from {low} to {high}")
    if len(finite) < len(batches):
        parts.append(f"{len(batches) - len(finite)} not finite")
    return " · ".join(parts)
