"""A pass that is saved and continued in new metrics tells the same, bit for bit."""

import math
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassF1Score,
    MulticlassPrecision,
)
from torchmetrics.wrappers import Running

from labwright.args import UserError
from labwright.metrics import (
    GROUPS,
    Accuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    MetricSet,
    Perplexity,
    WeightedMean,
    build_metrics,
    check_state,
    feed,
)
from labwright.train import Loss, flatten_state, restore_state

Batches = Sequence[tuple[dict[str, Tensor], dict[str, Any]]]
BuildMetrics = Callable[[], list[Metric]]
NUM_SAMPLES = 30


def run_pass(build: BuildMetrics, batches: Batches, cuts: Sequence[int] = ()) -> dict[str, bytes]:
    """The bits of each metric, after going on from a checkpoint before each batch of `cuts`."""
    meter = MetricSet(build())
    for position, (outputs, batch) in enumerate([*batches, ({}, {})]):
        for _ in range(cuts.count(position)):
            continued = MetricSet(build())
            continued.load_state_dict(restore_state(flatten_state(meter.state_dict())))
            meter = continued
        if outputs:
            meter.update(Loss(outputs["value"].mean(), outputs, len(outputs["value"])), batch)
    return {name: struct.pack("d", value) for name, value in meter.compute().items()}


def cut_up(tensors: Mapping[str, Tensor], sizes: Sequence[int]) -> Batches:
    parts = {key: tensor.split(sizes) for key, tensor in tensors.items()}
    whole = [{key: part[position] for key, part in parts.items()} for position in range(len(sizes))]
    return [({key: part for key, part in each.items() if key != "target"}, each) for each in whole]


def predictions(group: str, seed: int) -> dict[str, Tensor]:
    """With ties, and values of very different size so that the order of a sum shows."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(NUM_SAMPLES, 6, generator=random).mul(3).exp().log2().round(decimals=2)
    target = torch.randint(0, 6, (NUM_SAMPLES,), generator=random)
    spread = torch.randn(NUM_SAMPLES, 6, generator=random).mul(4).exp()
    image = torch.rand(NUM_SAMPLES, 1, 6, 6, generator=random)
    preds, target = {
        "binary_classification": (logits[:, 0], target % 2),
        "multiclass_classification": (logits, target),
        "multilabel_classification": (logits, logits.roll(1, 0) > 0),
        "regression": (spread, spread.roll(1, 0) + logits),
        "segmentation": (logits[..., None, None].expand(-1, -1, 2, 2), target[:, None, None].expand(-1, 2, 2)),
        "image_reconstruction": (image, image.roll(1, 0).square()),
    }[group]
    return {"preds": preds, "target": target, "value": spread[:, 0]}


@st.composite
def sizes_of_batches(draw: st.DrawFn) -> list[int]:
    """Sizes, some of them 0, that add up to all samples."""
    ends = [0, *sorted(draw(st.lists(st.integers(0, NUM_SAMPLES), max_size=12))), NUM_SAMPLES]
    return [end - start for start, end in zip(ends, ends[1:], strict=False) if end > start] or [NUM_SAMPLES]


@pytest.mark.parametrize("group", GROUPS)
@settings(max_examples=25, deadline=None)
@given(
    sizes=sizes_of_batches(),
    cuts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    chunk=st.sampled_from([1, 40, 400, 2**20]),
    key=st.sampled_from(["preds", "probability"]),
    has_nan=st.booleans(),
    data_range=st.sampled_from([None, 1.0]),
)
def test_every_metric_of_a_group_goes_on_as_if_nothing_had_been(
    group: str,
    sizes: list[int],
    cuts: list[int],
    seed: int,
    chunk: int,
    key: str,
    has_nan: bool,
    data_range: float | None,
) -> None:
    def build() -> list[Metric]:
        return build_metrics({group: list(GROUPS[group])}, num_outputs=6, inputs={"preds": key}, data_range=data_range)

    data = predictions(group, seed)
    data["probability"] = data["preds"].sigmoid()
    data[key] = data[key].clone()
    data[key][seed % NUM_SAMPLES] = math.nan if has_nan else data[key][0]
    batches = cut_up(data, sizes)
    cuts = [min(cut, len(batches)) for cut in cuts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "_CHUNK_ELEMENTS", chunk)
        assert run_pass(build, batches, cuts) == run_pass(build, batches)


@pytest.mark.parametrize("cut", range(0, NUM_SAMPLES, 3))
def test_chunks_end_where_they_would_have_ended(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over other chunks are rounded otherwise."""
    monkeypatch.setattr(feed, "_CHUNK_ELEMENTS", 40)
    batches = cut_up(predictions("regression", 0), [1] * NUM_SAMPLES)

    def build() -> list[Metric]:
        return build_metrics({"regression": list(GROUPS["regression"])}, num_outputs=6, inputs={"preds": "preds"})

    assert run_pass(build, batches, [cut]) == run_pass(build, batches)


@settings(deadline=None)
@given(sizes=sizes_of_batches(), cuts=st.lists(st.integers(0, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_loss_and_every_stock_metric_go_on_as_if_nothing_had_been(
    sizes: list[int], cuts: list[int], seed: int
) -> None:
    data = predictions("multiclass_classification", seed)
    numbers = predictions("regression", seed)
    batches = [
        (outputs | {"logits": outputs["preds"], "prediction": number["preds"]}, batch | {"numbers": number["target"]})
        for (outputs, batch), (_, number) in zip(cut_up(data, sizes), cut_up(numbers, sizes), strict=True)
    ]

    def build() -> list[Metric]:
        return [Accuracy(), Accuracy(0.3), OfNumbers(MeanSquaredError()), OfNumbers(MeanAbsoluteError()), Perplexity()]

    assert run_pass(build, batches, [min(cut, len(batches)) for cut in cuts]) == run_pass(build, batches)


class OfNumbers(Metric):
    """A metric within a metric: it measures other targets."""

    def __init__(self, metric: Metric) -> None:
        self.name, self.higher_is_better = metric.name, metric.higher_is_better
        self._metric = metric

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self._metric.update(outputs, {"target": batch["numbers"]}, weight)

    def compute(self) -> float:
        return self._metric.compute()


def test_heads_with_their_own_inputs_and_metrics_of_two_groups_go_on_together() -> None:
    data = predictions("multiclass_classification", 0)
    batches = cut_up(data | {"other": data["preds"].flip(0)}, [7, 7, 7, 7, 2])
    inputs = {"preds": "preds", "multiclass_classification.mcc.preds": "other", "regression.preds": "value"}
    chosen = {"multiclass_classification": ["mcc", "f1_per_class"], "regression": ["pearson"]}

    def build() -> list[Metric]:
        # Not the first: what metrics share belongs to none of them.
        return build_metrics(chosen, num_outputs=6, inputs={**inputs, "regression.target": "value"})[1:]

    assert run_pass(build, batches, [3]) == run_pass(build, batches)


def test_what_metrics_share_is_saved_once() -> None:
    meter = MetricSet(build_metrics({"multiclass_classification": ["f1_per_class", "mcc"]}, num_outputs=40))
    for _ in range(2):
        meter.update(Loss(torch.tensor(1.0), {"logits": torch.zeros(3, 40)}, 3), {"target": torch.arange(3)})
    assert [each["class"] for each in meter.state_dict()["objects"]].count("Feed") == 1


def test_a_saved_state_leaves_the_pass_as_it_was() -> None:
    """A chunk that was handed on early would round sums otherwise than in a run without checkpoints."""
    meter = MetricSet(build_metrics({"regression": ["mse"]}, num_outputs=1))
    for _ in range(3):
        meter.update(Loss(torch.tensor(1.0), {"prediction": torch.ones(2, 1)}, 2), {"target": torch.zeros(2, 1)})
    first, second = (flatten_state(meter.state_dict()) for _ in range(2))
    assert first == second
    [waiting] = [each for each in meter.state_dict()["objects"] if each["class"] == "Feed"]
    assert len(waiting["state"]["_chunk"][0]) == 2  # all batches but the first, which goes on at once


def test_a_pass_that_goes_on_leaves_the_loaded_state_alone() -> None:
    meter, continued = MetricSet([]), MetricSet([])
    meter.update(Loss(torch.tensor(1.0), {}, 1), {})
    continued.load_state_dict(meter.state_dict())
    continued.update(Loss(torch.tensor(5.0), {}, 1), {})
    assert meter.compute() == {"loss": 1.0} and continued.compute() == {"loss": 3.0}


def test_tensors_go_to_the_device_of_the_pass_and_those_kept_in_main_memory_stay_there() -> None:
    """The meta device stands in for an accelerator."""
    of_loss = torch.tensor(1.0, device="meta")
    devices = [torch.device("cpu"), torch.device("meta")]
    for loss, expected in ((of_loss.new_ones((), device="cpu"), ["meta"] * 2), (of_loss, ["cpu", "meta"])):
        meter, metric = MetricSet([Holder(devices)]), Holder([])
        meter.update(Loss(loss, {"holder": torch.tensor(1.0)}, 1), {})
        MetricSet([metric]).load_state_dict(meter.state_dict(), device="meta")
        assert [device.type for device in metric.held] == expected


def test_other_metrics_than_those_saved_are_refused_by_name() -> None:
    state = MetricSet([Accuracy()]).state_dict()
    with pytest.raises(UserError, match="measured loss, accuracy, and not loss, mse; go on with the same metrics"):
        MetricSet([MeanSquaredError()]).load_state_dict(state)


def test_an_own_metric_begun_under_inference_mode_goes_on_outside() -> None:
    meter = MetricSet([Everything()])
    with torch.inference_mode():
        meter.update(Loss(torch.tensor(1.0), {}, 1), {})
        continued = MetricSet([Everything()])
        continued.load_state_dict(restore_state(flatten_state(meter.state_dict())))
    continued.update(Loss(torch.tensor(2.0), {}, 1), {})
    assert continued.compute()["everything"] == 2


def clamp(value: Tensor) -> Tensor:
    return value.clamp(0, 9)


class Everything(Metric):
    """Holds whatever can be saved."""

    name, higher_is_better = "everything", True

    def __init__(self) -> None:
        self.total = torch.zeros((), dtype=torch.float64)
        self.all: list[Tensor] = []
        self.uneven: list[Tensor] = []
        self.array = np.zeros((2, 3), order="F")
        self.scalar: Any = np.float32(0)
        self.nested: dict[Any, Any] = {(1, "a"): [None, (True, 2.5)], 3: {"mapping": "no kind", "empty": []}}
        self.counter: Counter[str] = Counter()
        self.by_key: defaultdict[str, list[float]] = defaultdict(list)
        self.ordered = OrderedDict(a=1)
        self.latest: deque[float] = deque(maxlen=3)
        self.seen: set[int] = set()
        self.frozen = frozenset([1, 2])
        self.worst = math.inf
        self.dtype: torch.dtype | None = None
        self.device: torch.device | None = None
        self.functions = (clamp, torch.abs, nn.functional.relu, Tensor, lambda value: value)
        self.count = 0

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        loss = outputs["loss"]
        self.total += loss
        self.all.append(loss.clone())
        self.uneven.append(loss.repeat(self.count + 1))
        self.array[self.count % 2] += loss.item()
        self.scalar = np.float32(self.scalar + loss.item())
        self.counter["seen"] += 1
        self.by_key["loss"].append(loss.item())
        self.latest.append(loss.item())
        self.seen.add(self.count)
        self.worst = min(self.worst, loss.item())
        self.dtype, self.device = loss.dtype, loss.device
        self.count += 1

    def compute(self) -> float:
        return self.count


def test_an_own_metric_comes_back_with_all_its_attributes_in_their_types() -> None:
    metric, other = Everything(), Everything()
    meter, continued = MetricSet([metric]), MetricSet([other])
    for value in range(20):
        meter.update(Loss(torch.tensor(value / 7), {}, 1), {})
    continued.load_state_dict(restore_state(flatten_state(meter.state_dict())))
    assert list(vars(other)) == list(vars(metric))
    for name, value in vars(metric).items():
        restored = vars(other)[name]
        assert type(restored) is type(value), name
        if isinstance(value, Tensor | np.ndarray):
            assert restored.dtype == value.dtype and (restored == value).all(), name
        elif name in ("all", "uneven"):
            assert all(map(torch.equal, restored, value)) and len(restored) == 20, name
        elif name != "functions":
            assert restored == value, name
    assert other.by_key["new"] == [] and other.latest.maxlen == 3 and other.functions[:4] == metric.functions[:4]
    assert other.array.flags.f_contiguous


@pytest.mark.parametrize(
    "held",
    [
        [torch.rand(3, 2) for _ in range(9)],
        [torch.rand(3, 2).T for _ in range(9)],
        [torch.zeros(1, dtype=torch.float32 if number % 2 else torch.int64) for number in range(9)],
        [*[torch.zeros(()) for _ in range(9)], 1.0],
    ],
    ids=["alike", "transposed", "of two types", "not only tensors"],
)
def test_each_of_many_tensors_keeps_its_type_and_layout(held: list[Any]) -> None:
    metric = Holder([])
    MetricSet([metric]).load_state_dict(restore_state(flatten_state(MetricSet([Holder(held)]).state_dict())))
    assert all(map(torch.equal, metric.held[:9], held)) and metric.held[9:] == held[9:]
    for restored, tensor in zip(metric.held[:9], held, strict=False):
        assert (restored.dtype, restored.stride()) == (tensor.dtype, tensor.stride())


class Judge(nn.Module):
    """Counts as it goes, with weights drawn anew each time it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.norm = nn.BatchNorm1d(1)
        self.num_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_calls += 1
        return self.norm(self.layer(x)) * self.num_calls


class Judged(Metric):
    name, higher_is_better = "judged", True

    def __init__(self) -> None:
        self.judge = Judge()
        self.scores: list[float] = []

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.scores.append(self.judge(outputs["value"][:, None]).double().square().mean().item())

    def compute(self) -> float:
        return math.fsum(self.scores)


def test_a_module_within_a_metric_goes_on_with_its_weights_and_counts() -> None:
    batches = cut_up(predictions("regression", 0), [10, 10, 10])
    drawn: list[Metric] = [Judged()]
    meter, continued = MetricSet(drawn), MetricSet([Judged()])
    for outputs, batch in batches[:2]:
        meter.update(Loss(torch.tensor(1.0), outputs, 1), batch)
    continued.load_state_dict(restore_state(flatten_state(meter.state_dict())))
    for each in (meter, continued):
        each.update(Loss(torch.tensor(1.0), batches[2][0], 1), batches[2][1])
    assert continued.compute() == meter.compute()


class Wrapped(Metric):
    """One of torchmetrics' own as people wrap it."""

    higher_is_better = True

    def __init__(self, name: str, metric: Any) -> None:
        self.name, self._metric = name, metric

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self._metric.update(outputs["preds"], batch["target"])

    def compute(self) -> float:
        values = self._metric.compute()
        return float(sum(values.values()) if isinstance(values, dict) else values)


@pytest.mark.parametrize("cut", range(4))
def test_torchmetrics_within_own_metrics_go_on(cut: int) -> None:
    """Their state_dict is empty unless one asks for it beforehand."""

    def build() -> list[Metric]:
        return [
            Wrapped("f1", MulticlassF1Score(6)),
            Wrapped("auroc", MulticlassAUROC(6)),
            Wrapped("binned", MulticlassAveragePrecision(6, thresholds=5)),
            Wrapped("together", MetricCollection([MulticlassF1Score(6), MulticlassPrecision(6)])),
            Wrapped("recent", Running(MulticlassAccuracy(6), window=2)),
        ]

    batches = cut_up(predictions("multiclass_classification", 0), [9, 9, 12])
    assert run_pass(build, batches, [cut]) == run_pass(build, batches)


class Holder(WeightedMean):
    def __init__(self, held: Any) -> None:
        super().__init__("holder")
        self.held = held


def around(number: float) -> Callable[[float], float]:
    return lambda value: value - number


@pytest.mark.parametrize(
    ("held", "place", "what"),
    [
        (around(1), "held", "a function"),
        ([1, {"a": around(1)}], r"held\[1\]\['a'\]", "a function"),
        ([].append, "held", "a builtin_function_or_method"),
        (Path("x"), "held", "a PosixPath"),
        (np.array(["text"]), "held", "a ndarray"),
        (torch.eye(2).to_sparse(), "held", "a sparse or quantized tensor"),
        (defaultdict(lambda: 0), "held", "a defaultdict"),
        ({Path("x"): 1}, "held", "a PosixPath"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_training(held: Any, place: str, what: str) -> None:
    with pytest.raises(
        UserError, match=rf"^metric .*holder\.{place}: {what} cannot be saved in a checkpoint; .*or overr"
    ):
        check_state(Holder(held))


def test_an_open_file_is_refused_and_the_two_methods_that_help_do(tmp_path: Path) -> None:
    class Logged(WeightedMean):
        def state_dict(self) -> dict[str, Any]:
            return {name: value for name, value in super().state_dict().items() if name != "held"}

    class LoggedHolder(Logged, Holder): ...

    with (tmp_path / "log").open("w") as file:
        with pytest.raises(UserError, match=r"holder\.held: a TextIOWrapper cannot be saved"):
            check_state(Holder(file))
        check_state(LoggedHolder(file))


def test_a_metric_changed_since_is_refused() -> None:
    state = MetricSet([Holder(clamp)]).state_dict()
    for held, what in ((around, "has clamp, but a new metric 'around'"), (None, "has clamp, but a new metric None")):
        with pytest.raises(UserError, match=rf"^metric holder\.held: the checkpoint {what}"):
            MetricSet([Holder(held)]).load_state_dict(state)
    with pytest.raises(UserError, match="metric holder: the checkpoint has Holder"):
        MetricSet([WeightedMean("holder")]).load_state_dict(state)
    state = MetricSet([Holder(nn.Linear(1, 1))]).state_dict()
    with pytest.raises(UserError, match="has a module with other parameters"):
        MetricSet([Holder(nn.Linear(1, 1, bias=False))]).load_state_dict(state)
