import json
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labwright.train import CheckpointError, flatten_state, restore_state
from labwright.train.checkpoint import MIGRATIONS, SCHEMA
from labwright.train.tensor_file import encode

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.complex128,
]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Tensors of every type and shape, some of them not contiguous."""
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    tensor = torch.randint(0, 3, shape, generator=generator).to(draw(st.sampled_from(DTYPES)))
    form = draw(st.sampled_from(["as it is", "permuted", "every other", "expanded"]))
    if form == "permuted":
        return tensor.permute(draw(st.permutations(range(tensor.ndim))))
    if form == "every other" and tensor.ndim:
        return tensor[..., ::2]
    return tensor.expand(2, *shape) if form == "expanded" else tensor


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
keys = st.text() | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text())
states = st.recursive(
    scalars | tensors(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(st.text(), st.integers(), max_size=3).map(Counter)
    ),
    max_leaves=12,
)


def assert_same(a: Any, b: Any) -> None:
    """Equal in values and in types, at every depth."""
    if isinstance(a, Tensor):
        assert isinstance(b, Tensor)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.resolve_conj().equal(b)
        return
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b) and [type(key) for key in a] == [type(key) for key in b]
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    elif isinstance(a, float):
        assert (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    else:
        assert a == b


@settings(deadline=None, max_examples=150)
@given(states)
def test_every_state_comes_back_as_it_was(state: Any) -> None:
    assert_same(state, restore_state(flatten_state(state)))


def trained_optimizer(channels_last: bool = False) -> tuple[nn.Module, torch.optim.Optimizer]:
    model: nn.Module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(5, 3, 3, 3)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def test_optimizers_and_schedulers_continue_as_if_never_interrupted() -> None:
    torch.manual_seed(0)
    model, optimizer = trained_optimizer()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 2, 2])
    state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    restored = restore_state(flatten_state(state))
    assert_same(state, restored)
    other, other_optimizer = trained_optimizer()
    other_scheduler = torch.optim.lr_scheduler.MultiStepLR(other_optimizer, milestones=[7])
    other.load_state_dict(model.state_dict())
    other_optimizer.load_state_dict(restored["optimizer"])
    other_scheduler.load_state_dict(restored["scheduler"])
    for parameter, other_parameter in zip(model.parameters(), other.parameters(), strict=True):
        parameter.grad = other_parameter.grad = torch.ones_like(parameter)
    for _ in range(3):
        optimizer.step()
        other_optimizer.step()
        scheduler.step()
        other_scheduler.step()
        assert scheduler.get_last_lr() == other_scheduler.get_last_lr()
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_the_memory_layout_is_kept() -> None:
    """Fused optimizers refuse a state whose strides differ from its parameter's."""
    _, optimizer = trained_optimizer(channels_last=True)
    moments = optimizer.state_dict()["state"][0]["exp_avg"]
    assert not moments.is_contiguous()
    assert restore_state(flatten_state(moments)).stride() == moments.stride()


def test_tied_weights_are_stored_once_and_tied_again() -> None:
    weight = torch.randn(50, 40)
    state = {"model": {"encoder.weight": weight, "decoder.weight": weight, "part": weight[3:5], "turned": weight.T}}
    data = flatten_state(state)
    assert len(data) < 1.2 * weight.nbytes
    restored = restore_state(data)["model"]
    assert_same(state["model"], restored)
    restored["encoder.weight"].zero_()
    assert all(tensor.eq(0).all() for tensor in restored.values())


def test_tensors_of_a_recurrent_layers_one_block_come_back() -> None:
    block = torch.randn(12)
    state = [block[:6].view(2, 3), block[6:].view(3, 2)]
    assert_same(state, restore_state(flatten_state(state)))


def test_complex_numbers_share_memory_too() -> None:
    weight = torch.randn(6, dtype=torch.complex64)
    restored = restore_state(flatten_state([weight, weight[2:4], weight.conj()]))
    assert_same([weight, weight[2:4], weight.conj()], restored)
    restored[0].zero_()
    assert restored[1].eq(0).all()


def test_the_model_can_be_read_without_labwright() -> None:
    model = nn.Linear(3, 2)
    data = flatten_state({"model": model.state_dict(), "epoch": 3})
    stored = safetensors.torch.load(data)
    assert stored.keys() == {"model.weight", "model.bias"}
    assert stored["model.weight"].equal(model.weight)


def test_two_tensors_on_one_path_are_told_apart() -> None:
    state = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), "__metadata__": torch.ones(2), "": torch.ones(3)}
    assert_same(state, restore_state(flatten_state(state)))


def test_a_bare_tensor_is_a_state() -> None:
    assert_same(torch.ones(2), restore_state(flatten_state(torch.ones(2))))


def test_equal_states_give_equal_bytes() -> None:
    assert flatten_state({"x": torch.ones(2), "n": 1}) == flatten_state({"x": torch.ones(2), "n": 1})


def test_parameters_come_back_as_plain_tensors_of_their_own() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    restored = restore_state(flatten_state({"weight": parameter}))["weight"]
    assert not restored.requires_grad
    restored.fill_(1)
    assert parameter.eq(0).all()


def test_what_cannot_be_saved_is_named_by_its_place() -> None:
    with pytest.raises(TypeError, match=r"scheduler\.lr_lambdas\.0: a function cannot be saved"):
        flatten_state({"scheduler": {"lr_lambdas": [lambda epoch: 1.0]}})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "step_00000001.safetensors"
    path.write_bytes(flatten_state({"model": {"weight": torch.ones(100)}, "epoch": 1}))
    return path


def test_a_checkpoint_is_read_from_its_file(file: Path) -> None:
    assert_same(restore_state(file), {"model": {"weight": torch.ones(100)}, "epoch": 1})


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone.safetensors: cannot be read: No such file"):
        restore_state(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_named(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"step_00000001.safetensors: not a complete safetensors file"):
        restore_state(file)


def test_weights_alone_are_no_checkpoint(file: Path) -> None:
    safetensors.torch.save_file({"weight": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match="no state of a run"):
        restore_state(file)


@pytest.mark.parametrize(
    "header",
    [
        "not json",
        "[]",
        {"schema": 1},
        {"schema": 3, "state": None},
        {"schema": 0, "state": None},
        {"schema": "2", "state": None},
        {"schema": [], "state": None},
        {"schema": 2, "state": {}},
        {"schema": 2, "state": {"object": "os.system"}},
        {"schema": 2, "state": {"tensor": "elsewhere"}},
        {"schema": 2, "state": {"dict": [1]}},
        {"schema": 2, "state": {"items": [[[], 1]]}},
        {"schema": 2, "state": {"float": "much"}},
        {"schema": 2, "state": {"tensor": "x", "stride": [10**12]}},
        {"schema": 2, "state": {"tensor": "x", "view": [[10], [1], 5]}},
        {"schema": 2, "state": {"tensor": "x", "view": [[1], [1], -3]}},
        {"schema": 2, "state": {"tensor": "x", "view": [[10**30], [1], 0]}},
    ],
)
def test_a_forged_header_is_refused_in_one_line(header: Any) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    with pytest.raises(CheckpointError, match="not a checkpoint that can be read") as error:
        restore_state(encode({"x": torch.zeros(4)}, {"labwright": text}))
    assert "\n" not in str(error.value)


def with_schema(schema: int, data: bytes) -> bytes:
    """A checkpoint as a labwright of another schema would have written it."""
    text = f'{{\\"schema\\":{SCHEMA},'.encode()
    assert data.count(text) == 1
    return data.replace(text, text.replace(str(SCHEMA).encode(), str(schema).encode()))


def test_a_checkpoint_of_a_newer_labwright_is_refused_by_its_schema() -> None:
    data = with_schema(SCHEMA + 1, flatten_state({"epoch": 1}))
    with pytest.raises(CheckpointError, match=rf"its schema is {SCHEMA + 1}, .* up to {SCHEMA}; a newer labwright"):
        restore_state(data)


def test_there_is_a_way_from_every_schema_to_the_present() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA))


def test_how_far_a_run_of_schema_1_had_come_is_found_under_run() -> None:
    state = {"model": {"w": torch.ones(2)}, "position": {"epoch": 2}, "best": {"epoch": 1}, "early_stopping": None}
    restored = restore_state(with_schema(1, flatten_state(state)))
    rows = {"history": None, "steps": None}
    run = {"position": {"epoch": 2}, "best": {"epoch": 1}, "early_stopping": None, "progress": None, "num_rows": rows}
    assert_same(restored, {"model": {"w": torch.ones(2)}, "num_threads": torch.get_num_threads(), "run": run})


@pytest.mark.parametrize("state", [None, {"weight": torch.ones(2)}, [1, 2], torch.ones(2)])
def test_what_is_no_run_is_the_same_in_schema_1(state: Any) -> None:
    assert_same(restore_state(with_schema(1, flatten_state(state))), state)


class Bomb:
    """Where this is unpickled, a file appears."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("is_zipped", [False, True], ids=["raw", "zipped"])
def test_a_pickle_in_place_of_a_checkpoint_is_refused_and_never_executed(
    file: Path, tmp_path: Path, is_zipped: bool
) -> None:
    if is_zipped:
        torch.save({"model": Bomb(tmp_path / "marker")}, file)
    else:
        file.write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        restore_state(file)
    assert not (tmp_path / "marker").exists()


def test_a_header_nested_without_end_is_refused() -> None:
    text = '{"schema": 2, "state": ' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(CheckpointError):
        restore_state(encode({}, {"labwright": text}))
