"""A model that is shared out trains as the whole one does."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_

from labwright.args import UserError
from labwright.train.clipping import gradient_norm, gradients_of
from labwright.train.distributed.fsdp import ShardedModel, blocks_of
from labwright.train.distributed.sharded import gathered, share_out_optimizer_state, share_out_weights
from tests.train.distributed.ranks import on_ranks

CPU = torch.device("cpu")
NUM_STEPS = 3


def model() -> nn.Module:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(5, 7), nn.Tanh())
    return nn.Sequential(first, nn.LayerNorm(7), nn.Linear(7, 7, bias=False), nn.Linear(7, 1)).double()


def windows() -> list[list[tuple[Tensor, Tensor]]]:
    """Three windows of two batches of six samples."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(NUM_STEPS, 2, 6, 5, generator=generator).double()
    return [[(x, x.sum(dim=1).sin()) for x in window] for window in inputs]


def loss_sum(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x).squeeze(1) - y).square().sum()


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    part: slice,
    num_ranks: int = 1,
    call: Callable[..., Tensor] = lambda function, *args: function(*args),
    hold: Callable[[bool], None] = lambda is_held: None,
    steps: range = range(NUM_STEPS),
) -> list[float]:
    """Three steps of two batches, of each the samples in `part`, clipped by value and norm; the norms."""
    norms: list[float] = []
    for step in steps:
        for number, (x, y) in enumerate(windows()[step]):
            hold(number == 0)
            (call(loss_sum, model, x[part], y[part]) * num_ranks / 12).backward()
        gradients = gradients_of(model.parameters())
        clip_grad_value_(model.parameters(), 0.3)
        norm = gradient_norm(gradients)
        clip_grads_with_norm_(model.parameters(), 0.5, norm)
        norms.append(norm.item())
        optimizer.step()
        optimizer.zero_grad()
    return norms


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01, fused=True)


def train_shared_out() -> dict[str, Any]:
    """On each of two ranks, which have four and two of six samples."""
    rank, shared = torch.distributed.get_rank(), model()
    parallel = ShardedModel(shared, CPU, min_block=30)
    optimizer, part = adam(shared), slice(0, 4) if rank == 0 else slice(4, 6)
    norms = train(shared, optimizer, part, 2, parallel, parallel.hold_gradients)
    x, y = windows()[0][0]
    with torch.inference_mode(), parallel.whole():
        for _ in range(1 + rank):  # not as often on each rank
            evaluated = loss_sum(shared, x, y).item()
    again = model()
    parallel_again = ShardedModel(again, CPU, min_block=30)
    optimizer_again = adam(again)
    whole = deepcopy(gathered({"model": shared.state_dict(), "optimizer": optimizer.state_dict()}))
    torch.distributed.broadcast_object_list(holder := [whole], src=0)
    state = deepcopy(holder[0])
    again.load_state_dict(share_out_weights(state["model"], again))
    optimizer_again.load_state_dict(share_out_optimizer_state(state["optimizer"], optimizer_again))
    for each, wrapped, its_optimizer in ((shared, parallel, optimizer), (again, parallel_again, optimizer_again)):
        train(each, its_optimizer, part, 2, wrapped, wrapped.hold_gradients, range(1))
    goes_on = [
        torch.equal(ours.to_local(), theirs.to_local())
        for ours, theirs in zip(shared.parameters(), again.parameters(), strict=True)
    ]
    return {
        "state": whole,
        "norms": norms,
        "evaluated": evaluated,
        "goes_on": all(goes_on),
        "numbers_here": sum(parameter.to_local().numel() for parameter in shared.parameters()),
        "held": broken_off(parallel, shared, optimizer),
        "refused": wrongly_used(),
        "bf16": in_bf16(),
        "buffers": buffers(),
    }


def broken_off(parallel: ShardedModel, shared: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Whether a window that was broken off leaves nothing in the next."""
    x, y = windows()[0][0]
    found: list[list[Tensor]] = []
    for breaks_off in (False, True):
        if breaks_off:
            parallel.hold_gradients(True)
            parallel(loss_sum, shared, x, y).backward()
            parallel.drop_gradients()
        parallel.hold_gradients(False)
        parallel(loss_sum, shared, x, y).backward()
        found.append([gradient.full_tensor() for gradient in gradients_of(shared.parameters())])
        optimizer.zero_grad()
    return all(torch.equal(once, after) for once, after in zip(*found, strict=True))


def wrongly_used() -> str:
    """What is said of a model that uses a block's weight without calling the block."""
    wrong = model()
    parallel = ShardedModel(wrong, CPU, min_block=30)
    try:
        parallel(lambda x: x @ wrong[0][0].weight.T, windows()[0][0][0])
    except UserError as error:
        return str(error)
    return ""


def in_bf16() -> tuple[str, str]:
    """The types of what the model makes in bf16, and of the gradients that it learns from."""
    torch.manual_seed(0)
    mixed = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    parallel = ShardedModel(mixed, CPU, "bf16", min_block=30)
    with torch.autocast("cpu", torch.bfloat16):
        made = parallel(mixed, torch.randn(4, 5))
    made.float().sum().backward()
    gradients = {str(gradient.dtype) for gradient in gradients_of(mixed.parameters())}
    return str(made.dtype), ", ".join(gradients)


def buffers() -> list[float]:
    """The running means after each rank has seen samples of its own, as the next call has them."""
    normal = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    parallel = ShardedModel(normal, CPU)
    parallel(normal, torch.full((3, 1), float(torch.distributed.get_rank())))
    with parallel.whole():
        pass
    return normal[1].running_mean.tolist()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_ranks(2, tmp_path_factory.mktemp("ranks"), train_shared_out)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    whole = model()
    optimizer = adam(whole)
    norms = train(whole, optimizer, slice(0, 6))
    x, y = windows()[0][0]
    evaluated = loss_sum(whole, x, y).item()
    return {"model": whole, "optimizer": optimizer, "norms": norms, "evaluated": evaluated}


@pytest.mark.slow
def test_two_ranks_with_a_part_of_each_weight_train_as_one_process_does(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    state = ranks[0]["state"]
    for name, weights in alone["model"].state_dict().items():
        torch.testing.assert_close(state["model"][name], weights, rtol=0, atol=1e-12)
    for rank in ranks:
        assert rank["norms"] == pytest.approx(alone["norms"], rel=1e-12)
        assert rank["evaluated"] == pytest.approx(alone["evaluated"], rel=1e-12)


@pytest.mark.slow
def test_each_rank_has_about_half_of_the_numbers(ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    total = sum(parameter.numel() for parameter in alone["model"].parameters())
    assert sum(rank["numbers_here"] for rank in ranks) == total
    assert max(rank["numbers_here"] for rank in ranks) < 0.65 * total


@pytest.mark.slow
def test_a_state_of_two_ranks_goes_on_in_one_process_and_on_two(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    resumed = model()
    optimizer = adam(resumed)
    resumed.load_state_dict(ranks[0]["state"]["model"])
    optimizer.load_state_dict(ranks[0]["state"]["optimizer"])
    for each, its_optimizer in ((resumed, optimizer), (alone["model"], alone["optimizer"])):
        train(each, its_optimizer, slice(0, 6), steps=range(1))
    for ours, theirs in zip(resumed.parameters(), alone["model"].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert all(rank["goes_on"] for rank in ranks)
    assert ranks[1]["state"]["model"]["1.weight"] is None  # one copy is enough


@pytest.mark.slow
def test_a_window_that_is_broken_off_leaves_no_gradients(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["held"] for rank in ranks)


@pytest.mark.slow
def test_a_weight_that_is_used_without_its_block_is_refused_in_one_line(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["refused"].startswith("--strategy=fsdp: a weight of a block is used where the block is not called")
        assert "\n" not in rank["refused"]


@pytest.mark.slow
def test_weights_are_gathered_in_16_bits_and_gradients_summed_in_32(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["bf16"] == ("torch.bfloat16", "torch.float32")


@pytest.mark.slow
def test_running_statistics_are_those_of_the_first_rank(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["buffers"] == ranks[1]["buffers"]


def test_large_members_of_sequences_become_blocks_innermost_first() -> None:
    inner = nn.Sequential(nn.Linear(10, 10), nn.Linear(2, 2))
    whole = nn.ModuleDict({"body": nn.ModuleList([inner, nn.Linear(10, 11)]), "head": nn.Linear(10, 10)})
    assert blocks_of(whole, 100) == [inner[0], whole["body"][1]]


def test_members_that_share_a_weight_with_others_are_no_blocks() -> None:
    whole = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10), nn.Linear(10, 10))
    whole[2].weight = whole[0].weight
    assert blocks_of(whole, 100) == [whole[1]]


def test_a_single_number_is_refused_by_name() -> None:
    temperature = nn.Module()
    temperature.register_parameter("scale", nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(UserError, match="cannot share out scale, a single number"):
        ShardedModel(temperature, CPU)
