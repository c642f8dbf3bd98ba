"""TensorBoard: event files in the run directory, shown by `tensorboard --logdir results`."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .base import RunInfo, Status, Tracker, flatten, require_package


class TensorBoardTracker(Tracker):
    """Scalars per epoch (`val/loss`) and per step (`step/loss`), hparams, and a chart per metric with all splits."""

    name = "TensorBoard"

    def __init__(self) -> None:
        require_package("tensorboard", 'pip install "labwright[tensorboard]"')
        self._charted = False

    def start(self, run: RunInfo) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(run.run_dir / "tensorboard"))
        # Only values, no list of metrics: TensorBoard then offers every scalar of the run beside the hparams,
        # and writing now rather than at the end keeps them when the run is killed.
        self._add(hparams_pb(hparams_of(run.config), trial_id=run.run_dir.name))

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"step/{name}", value, step)

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        if not self._charted:
            self.writer.add_custom_scalars(chart_layout(metrics))
            self._charted = True
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        for name, value in flatten(summary, "/").items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"summary/{name}", value, 0)
        self._add(_session_end(status))
        self.writer.close()

    def _add(self, summary: Any) -> None:
        self.writer._get_file_writer().add_summary(summary)


def hparams_of(config: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """`config` under dotted names; what is not a number, a bool or a text is written as JSON, None as `none`."""
    flat = flatten(config, ".").items()
    return {
        name: value if isinstance(value, bool | int | float | str) else "none" if value is None else json.dumps(value)
        for name, value in flat
    }


def chart_layout(metrics: Mapping[str, float]) -> dict[str, dict[str, list[Any]]]:
    """A custom-scalars layout with one chart per metric, in which every split is a line."""
    names = dict.fromkeys(name.split("/", 1)[1] for name in metrics if "/" in name)
    # TensorBoard matches each tag against a pattern, so splits that come later (test) join their chart.
    return {"epochs": {name: ["Multiline", [rf"^(?!step/|summary/)[^/]+/{re.escape(name)}$"]] for name in names}}


def _session_end(status: Status) -> Any:
    """The protocol buffer that tells the HParams dashboard how the run ended."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    # What protoc generates has no types, hence `Any`.
    proto: Any = plugin_data_pb2
    api: Any = api_pb2
    summary: Any = summary_pb2
    code = api.STATUS_SUCCESS if status == "finished" else api.STATUS_FAILURE
    data = proto.HParamsPluginData(session_end_info=proto.SessionEndInfo(status=code, end_time_secs=time.time()))
    value = summary.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary.Summary(value=[value])
