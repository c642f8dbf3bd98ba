"""Predicted against true values: what a regression gets instead of a confusion matrix."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .style import BLUE, INK, label_axes, number, picture, plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_MOST_PANELS = 4
_MOST_POINTS = 10_000


def plot_regression(
    targets: "NDArray[Any]", predictions: "NDArray[Any]", path: Path, title: str, target_names: Sequence[str] = ()
) -> None:
    """Draws predictions against targets, `[n]` or `[n, columns]`, with the diagonal, R² and RMSE.

    The first four target columns get a panel each. Pairs that are not finite are counted, not drawn.
    """
    import numpy as np

    targets, predictions = (np.asarray(values, dtype=np.float64) for values in (targets, predictions))
    targets, predictions = (values[:, None] if values.ndim == 1 else values for values in (targets, predictions))
    num_panels = min(_MOST_PANELS, targets.shape[1])
    num_columns = 1 if num_panels == 1 else 2
    num_rows = math.ceil(num_panels / num_columns)
    subtitle = f"{len(targets):,} samples"
    if targets.shape[1] > num_panels:
        subtitle += f" · the first {num_panels} of {targets.shape[1]} targets"
    with picture(path, title, subtitle=subtitle, width=3.9 * num_columns, height=4.0 * num_rows) as figure:
        for column in range(num_panels):
            axes = figure.add_subplot(num_rows, num_columns, column + 1)
            name = target_names[column] if target_names else f"Target {column + 1}" if num_panels > 1 else "Target"
            finite = np.isfinite(targets[:, column]) & np.isfinite(predictions[:, column])
            note = _draw_panel(axes, targets[finite, column], predictions[finite, column])
            if num_gaps := int((~finite).sum()):
                note += f" · {num_gaps} not finite"
            label_axes(axes, plain(name), [note])


def _draw_panel(axes: "Axes", true: "NDArray[np.float64]", predicted: "NDArray[np.float64]") -> str:
    """Draws one target column and says how good the predictions are."""
    import numpy as np

    axes.set_xlabel("True value")
    axes.set_ylabel("Predicted value")
    axes.set_box_aspect(1)
    axes.grid()
    if not true.size:
        return "no finite value"
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    pad = 0.05 * (high - low) or 0.5
    axes.plot([low - pad, high + pad], [low - pad, high + pad], color=INK, linewidth=0.9, zorder=3)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(low - pad, high + pad)
    shown = np.linspace(0, true.size - 1, min(true.size, _MOST_POINTS)).astype(int)
    crowd = min(1.0, 15 / math.sqrt(shown.size))  # from 225 points on, smaller and paler dots
    axes.scatter(true[shown], predicted[shown], s=4 + 14 * crowd, color=BLUE, alpha=0.1 + 0.5 * crowd, linewidth=0)
    squared_error = float(((predicted - true) ** 2).sum())
    spread = float(((true - true.mean()) ** 2).sum())
    r_squared = number(1 - squared_error / spread) if spread else "undefined"
    return f"R² {r_squared} · RMSE {number(math.sqrt(squared_error / true.size))}"
