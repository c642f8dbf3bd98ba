"""TensorBoard: event files in the run directory, shown by `tensorboard --logdir results`."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from labwright.runs import write_durably

from .base import RunInfo, Status, Tracker, flatten, require_package

FOLDER = "tensorboard"
"""Where in the run directory."""


class TensorBoardTracker(Tracker):
    """Scalars per epoch (`val/loss`) and per step (`step/loss`), hparams, and a chart per metric with all splits.

    When a run is resumed, points after its checkpoint are removed. Of your own scalars those named `step/...` are
    taken for ones over steps, all others for ones over epochs.
    """

    name = "TensorBoard"

    def __init__(self) -> None:
        require_package("tensorboard", 'pip install "labwright[tensorboard]"')
        self._charted = False

    def start(self, run: RunInfo) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = run.run_dir / FOLDER
        if run.resumed_step is not None and run.resumed_epoch is not None:
            cut_events(folder, run.resumed_step, run.resumed_epoch)
        self.writer = SummaryWriter(str(folder))
        # Only values, no list of metrics: TensorBoard then offers every scalar of the run beside the hparams,
        # and writing now rather than at the end keeps them when the run is killed.
        self._add(hparams_pb(hparams_of(run.config), trial_id=run.run_dir.name))

    def state(self) -> dict[str, Any]:
        """Where the event files are."""
        return {"folder": FOLDER}

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"step/{name}", value, step)
        self.writer.flush()  # a checkpoint may follow, and what is told before one is not told again

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


def cut_events(folder: Path, step: int, epoch: int) -> None:
    """Keep of the event files in `folder` the points up to that step and epoch, and what the run says but once.

    TensorBoard's own way, a purge step, knows one x axis for all charts.
    """
    # What protoc generates has no types, hence `Any`.
    from tensorboard.compat.proto import event_pb2

    proto: Any = event_pb2
    for path in sorted(folder.glob("events.out.tfevents.*")):
        records = list(_records(path))
        kept = [data for data in records if _is_kept(proto.Event.FromString(data), step, epoch)]
        if len(kept) < len(records):
            write_durably(path, lambda file, kept=kept: _write_records(file, kept))


def _records(path: Path) -> Iterator[bytes]:
    """The records of an event file, as far as they are whole."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    loader: Any = RawEventFileLoader(str(path))
    return loader.Load()


def _write_records(file: BinaryIO, records: list[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    writer = RecordWriter(file)
    for data in records:
        writer.write(data)


def _is_kept(event: Any, step: int, epoch: int) -> bool:
    from tensorboard.plugins.hparams import metadata

    def is_kept(tag: str) -> bool:
        if tag in (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG) or tag.startswith("summary/"):
            return False  # said again, at the start and at the end
        return event.step <= (step if tag.startswith("step/") else epoch)

    return all(is_kept(value.tag) for value in event.summary.value)


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
