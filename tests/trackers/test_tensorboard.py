"""What TensorBoard itself reads from a run."""

import re
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.summary.writer.event_file_writer import AtomicCounter

from labwright.trackers import RunInfo, Status, TensorBoardTracker

CONFIG = {
    "epochs": 2,
    "seed": None,
    "return_best_model": True,
    "model": {"kind": "mlp", "hidden_sizes": [64, 32], "dropout": 0.0},
    "groups": {},
}


def track(run_dir: Path, status: Status = "finished") -> EventAccumulator:
    tracker = TensorBoardTracker()
    tracker.start(RunInfo(experiment_id="digits", run_dir=run_dir, config=CONFIG))
    for epoch in (1, 2):
        tracker.log_step(epoch * 10, {"loss": 1 / epoch, "learning_rate": 1e-3})
        tracker.log_epoch(epoch, epoch * 10, {"train/loss": 0.5, "val/loss": 0.6 / epoch, "val/top@5": float("nan")})
    tracker.log_epoch(2, 20, {"test/loss": 0.25})
    tracker.finish(status, {"best": {"epoch": 2, "metric": "val/loss"}, "test": {"loss": 0.25}}, [])
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    return events


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    return track(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def files_of_few_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one second are read in the order of their names, in which a process' tenth one is before its ninth."""
    monkeypatch.setattr("tensorboard.summary.writer.event_file_writer._global_uid", AtomicCounter(0))


def points(events: EventAccumulator, tag: str) -> list[tuple[int, Any]]:
    return [(point.step, pytest.approx(point.value)) for point in events.Scalars(tag)]


def hparams_content(events: EventAccumulator, tag: str) -> Any:
    return events.SummaryMetadata(tag).plugin_data.content


def test_epoch_metrics_stand_at_their_epoch_under_their_full_names(events: EventAccumulator) -> None:
    assert points(events, "val/loss") == [(1, 0.6), (2, 0.3)]
    assert points(events, "train/loss") == [(1, 0.5), (2, 0.5)]


def test_step_values_stand_at_their_step_apart_from_epoch_metrics(events: EventAccumulator) -> None:
    assert points(events, "step/loss") == [(10, 1.0), (20, 0.5)]
    assert points(events, "step/learning_rate") == [(10, 1e-3), (20, 1e-3)]


def test_numbers_of_the_summary_are_kept_under_full_names(events: EventAccumulator) -> None:
    assert points(events, "summary/test/loss") == [(0, 0.25)]
    assert points(events, "summary/best/epoch") == [(0, 2.0)]
    assert "summary/best/metric" not in events.Tags()["scalars"]


def test_hparams_survive_none_lists_and_nested_parts(events: EventAccumulator) -> None:
    content = hparams_content(events, metadata.SESSION_START_INFO_TAG)
    hparams = metadata.parse_session_start_info_plugin_data(content).hparams
    read = {name: getattr(value, value.WhichOneof("kind")) for name, value in hparams.items()}
    assert read == {
        "epochs": 2,
        "seed": "none",
        "return_best_model": True,
        "model.kind": "mlp",
        "model.hidden_sizes": "[64, 32]",
        "model.dropout": 0.0,
        "groups": "{}",
    }


@pytest.mark.parametrize(("status", "shown"), [("finished", "SUCCESS"), ("failed", "FAILURE")])
def test_the_hparams_dashboard_says_how_the_run_ended(status: Status, shown: str, tmp_path: Path) -> None:
    content = hparams_content(track(tmp_path, status), metadata.SESSION_END_INFO_TAG)
    end = metadata.parse_session_end_info_plugin_data(content)
    assert api_pb2.Status.Name(end.status) == f"STATUS_{shown}"  # pyright: ignore[reportAttributeAccessIssue]


def test_one_chart_per_metric_overlays_every_split(events: EventAccumulator) -> None:
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])  # pyright: ignore[reportAttributeAccessIssue]
    charts = {chart.title: chart.multiline.tag for category in layout.category for chart in category.chart}
    overlaid = {
        title: [tag for tag in events.Tags()["scalars"] if re.match(pattern, tag)]
        for title, (pattern,) in charts.items()
    }
    assert {title: sorted(tags) for title, tags in overlaid.items()} == {
        "loss": ["test/loss", "train/loss", "val/loss"],
        "top@5": ["val/top@5"],
    }


def test_a_killed_run_keeps_its_hparams_and_finished_epochs(tmp_path: Path) -> None:
    tracker = TensorBoardTracker()
    tracker.start(RunInfo(experiment_id="digits", run_dir=tmp_path, config=CONFIG))
    tracker.log_epoch(1, 10, {"val/loss": 0.5})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert points(events, "val/loss") == [(1, 0.5)]
    assert metadata.SESSION_START_INFO_TAG in events.summary_metadata
    tracker.writer.close()


def session(run_dir: Path, epochs: range, *, after: tuple[int, int] | None = None) -> TensorBoardTracker:
    """Two steps logged in each epoch of ten; `after`: resumed there, at a step and an epoch."""
    step, epoch = after or (None, None)
    tracker = TensorBoardTracker()
    tracker.start(
        RunInfo(experiment_id="digits", run_dir=run_dir, config=CONFIG, resumed_step=step, resumed_epoch=epoch)
    )
    for epoch in epochs:
        for step in (epoch * 10 - 5, epoch * 10):
            if after is None or step > after[0]:
                tracker.log_step(step, {"loss": 1 / step})
        tracker.log_epoch(epoch, epoch * 10, {"val/loss": 1 / epoch})
    return tracker


def test_a_resumed_run_has_each_point_once(tmp_path: Path) -> None:
    """Killed in epoch 4, resumed from within epoch 3; both axes are cut where the checkpoint was."""
    killed = session(tmp_path, range(1, 4))
    killed.log_step(35, {"loss": 9.0})
    killed.writer.close()
    session(tmp_path, range(3, 6), after=(25, 2)).finish("finished", {"best": {"epoch": 5}}, [])
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    assert points(events, "step/loss") == [(step, 1 / step) for step in range(5, 51, 5)]
    assert points(events, "val/loss") == [(epoch, 1 / epoch) for epoch in range(1, 6)]
    assert points(events, "summary/best/epoch") == [(0, 5.0)]


def test_a_finished_run_that_goes_on_ends_once_for_tensorboard(tmp_path: Path) -> None:
    session(tmp_path, range(1, 3)).finish("failed", {"best": {"epoch": 2}}, [])
    session(tmp_path, range(3, 5), after=(20, 2)).finish("finished", {"best": {"epoch": 4}}, [])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert points(events, "summary/best/epoch") == [(0, 4.0)]
    assert len(points(events, "val/loss")) == 4
    content = hparams_content(events, metadata.SESSION_END_INFO_TAG)
    end = metadata.parse_session_end_info_plugin_data(content)
    assert api_pb2.Status.Name(end.status) == "STATUS_SUCCESS"  # pyright: ignore[reportAttributeAccessIssue]


def test_an_event_file_that_ends_in_half_a_record_is_mended_when_the_run_is_resumed(tmp_path: Path) -> None:
    session(tmp_path, range(1, 3)).writer.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    session(tmp_path, range(2, 4), after=(10, 1)).writer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert points(events, "val/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
