"""What a step is made of, when it is taken, and when it is not."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from labwright.args.errors import UserError
from labwright.train import EMA, NonFiniteLoss, Stepper, flatten_state, frozen, restore_state
from labwright.train.clipping import are_finite

Samples = tuple[Tensor, Tensor]


def digits(batch_sizes: Sequence[int], dtype: torch.dtype = torch.float32) -> list[Samples]:
    """Batches of handwritten digits, one after the other."""
    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.from_numpy(images).to(dtype) / 16, torch.from_numpy(labels)
    count = sum(batch_sizes)
    return list(zip(inputs[:count].split(list(batch_sizes)), targets[:count].split(list(batch_sizes)), strict=True))


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).to(dtype)


def train(stepper: Stepper, model: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[Samples]) -> int:
    """One pass over `batches`; the number of steps applied."""
    num_steps = 0
    for inputs, targets in stepper.each(batches):
        with stepper.forward(model):
            loss = F.cross_entropy(model(inputs), targets)
        num_steps += stepper.update(loss, optimizer, weight=len(targets))
    return num_steps


def train_by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[Samples]) -> None:
    for inputs, targets in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def distance(model: nn.Module, before: Sequence[Tensor]) -> float:
    """How far the weights have moved: with SGD at rate 1, the norm of the gradient that was applied."""
    moved = [now.detach() - then for now, then in zip(model.parameters(), before, strict=True)]
    return torch.cat([move.flatten() for move in moved]).norm().item()


# -- windows


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_plain_step_is_bit_identical_to_one_by_hand(name: str) -> None:
    ours, theirs = network(), network()
    batches = digits([32] * 5 + [7])
    make = getattr(torch.optim, name)
    assert train(Stepper(), ours, make(ours.parameters(), lr=1e-2), batches) == 6
    train_by_hand(theirs, make(theirs.parameters(), lr=1e-2), batches)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=12), st.integers(1, 5))
def test_accumulated_window_equals_one_large_batch(batch_sizes: list[int], accumulate_batches: int) -> None:
    """Whatever the sizes of its batches, and however short the last window."""
    ours, theirs = network(torch.float64), network(torch.float64)
    batches = digits(batch_sizes, torch.float64)
    num_steps = train(
        Stepper(accumulate_batches=accumulate_batches), ours, torch.optim.SGD(ours.parameters(), lr=0.5), batches
    )
    windows = [batches[start : start + accumulate_batches] for start in range(0, len(batches), accumulate_batches)]
    large = [(torch.cat([x for x, _ in window]), torch.cat([y for _, y in window])) for window in windows]
    train_by_hand(theirs, torch.optim.SGD(theirs.parameters(), lr=0.5), large)
    assert num_steps == len(windows)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-6)


def test_four_batches_of_8_equal_one_of_32() -> None:
    models = [network(torch.float64) for _ in range(2)]
    for model, size, accumulate_batches in zip(models, (8, 32), (4, 1), strict=True):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        batches = digits([size] * (160 // size), torch.float64)
        assert train(Stepper(accumulate_batches=accumulate_batches), model, optimizer, batches) == 5
    torch.testing.assert_close(weights(models[0]), weights(models[1]), rtol=0, atol=1e-6)


def test_every_update_is_a_step_where_no_loop_says_otherwise() -> None:
    model = network()
    stepper, optimizer = Stepper(accumulate_batches=4), torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, targets in digits([8, 8]):
        assert stepper.update(F.cross_entropy(model(inputs), targets), optimizer)


def test_loop_says_which_batch_closes_a_window() -> None:
    stepper = Stepper(accumulate_batches=3)
    assert [stepper.closes_window for _ in stepper.each(range(7))] == [False, False, True, False, False, True, True]
    assert stepper.closes_window
    assert list(stepper.each([])) == []


@pytest.mark.parametrize(("accumulate_batches", "looked_ahead"), [(1, 0), (4, 1)])
def test_loop_looks_at_most_one_batch_ahead(accumulate_batches: int, looked_ahead: int) -> None:
    fetched: list[int] = []

    def loader() -> Iterator[int]:
        for batch in range(6):
            fetched.append(batch)
            yield batch

    for batch in Stepper(accumulate_batches=accumulate_batches).each(loader()):
        assert len(fetched) == min(batch + 1 + looked_ahead, 6)


def test_loop_that_was_broken_off_leaks_nothing_into_the_next() -> None:
    ours, theirs = network(), network()
    batches = digits([8] * 6)
    stepper, optimizer = Stepper(accumulate_batches=4), torch.optim.SGD(ours.parameters(), lr=0.1)
    broken = stepper.each(batches)
    for inputs, targets in (next(broken), next(broken)):
        stepper.update(F.cross_entropy(ours(inputs), targets), optimizer, weight=8)
    assert stepper.is_within_window
    train(stepper, ours, optimizer, batches)
    assert not stepper.is_within_window
    train(Stepper(accumulate_batches=4), theirs, torch.optim.SGD(theirs.parameters(), lr=0.1), batches)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)


def test_loop_that_was_broken_off_frees_its_gradients() -> None:
    model = network()
    stepper, optimizer = Stepper(accumulate_batches=4), torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, targets in stepper.each(digits([8] * 3)):
        stepper.update(F.cross_entropy(model(inputs), targets), optimizer)
        break
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not stepper.is_within_window and stepper.closes_window


def test_broken_loop_that_is_finalized_late_does_not_disturb_the_next() -> None:
    stepper = Stepper(accumulate_batches=2)
    abandoned = stepper.each(range(4))
    next(abandoned)
    current = stepper.each(range(4))
    next(current)
    del abandoned
    assert not stepper.closes_window


def test_failed_backward_takes_its_window_along() -> None:
    """Some of its gradients are there and some not, as when memory ran out and the script goes on."""
    ours, theirs = network(), network()
    stepper, optimizer = Stepper(accumulate_batches=3), torch.optim.SGD(ours.parameters(), lr=1.0)

    def fail(*_: Any) -> None:
        raise MemoryError

    batches = digits([8, 8, 8])
    for number, (inputs, targets) in enumerate(stepper.each(batches)):
        if number == 1:
            handle = ours[0].register_full_backward_pre_hook(fail)
            with pytest.raises(MemoryError):
                stepper.update(F.cross_entropy(ours(inputs), targets), optimizer, weight=8)
            handle.remove()
        else:
            stepper.update(F.cross_entropy(ours(inputs), targets), optimizer, weight=8)
    train_by_hand(theirs, torch.optim.SGD(theirs.parameters(), lr=1.0), batches[2:])
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)


def test_two_losses_of_one_batch_are_averaged_by_weight() -> None:
    ours, theirs = network(torch.float64), network(torch.float64)
    (small, large) = digits([4, 12], torch.float64)
    stepper, optimizer = Stepper(), torch.optim.SGD(ours.parameters(), lr=1.0)
    assert not stepper.step(optimizer)
    for inputs, targets in (small, large):
        stepper.backward(F.cross_entropy(ours(inputs), targets), optimizer, weight=len(targets))
    assert stepper.step(optimizer)
    train_by_hand(theirs, torch.optim.SGD(theirs.parameters(), lr=1.0), digits([16], torch.float64))
    torch.testing.assert_close(weights(ours), weights(theirs))


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf])
def test_weight_that_is_no_number_of_samples_is_refused(weight: float) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(UserError, match="weight must be the number of samples"):
        Stepper().update(model(torch.ones(1, 1)).sum(), torch.optim.SGD(model.parameters()), weight=weight)


def test_sparse_gradients_are_averaged_and_applied() -> None:
    dense, sparse = nn.Embedding(10, 3), nn.Embedding(10, 3, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    for table in (dense, sparse):
        stepper, optimizer = Stepper(accumulate_batches=2), torch.optim.SGD(table.parameters(), lr=0.1)
        for rows in stepper.each([torch.tensor([1, 1, 2]), torch.tensor([2, 5])]):
            stepper.update(table(rows).square().mean(), optimizer, weight=len(rows))
    torch.testing.assert_close(sparse.weight, dense.weight)


# -- several optimizers


def train_gan(with_generator: bool, accumulate_batches: int) -> tuple[list[Tensor], list[Tensor], list[bool]]:
    """Weights of the critic and of the generator, and whether each update of the latter was a step."""
    torch.manual_seed(0)
    critic, generator = nn.Linear(64, 1), nn.Linear(4, 64)
    critic_optimizer, generator_optimizer = (torch.optim.Adam(model.parameters()) for model in (critic, generator))
    stepper, steps = Stepper(accumulate_batches=accumulate_batches), []
    for real, _ in stepper.each(digits([4, 8, 5, 7, 12])):
        stepper.update((critic(real) - 1).square().mean(), critic_optimizer, weight=len(real))
        if with_generator:
            with frozen(critic):
                fooled = -critic(generator(torch.randn(len(real), 4))).mean()
            steps.append(stepper.update(fooled, generator_optimizer, weight=len(real)))
    return weights(critic), weights(generator), steps


@pytest.mark.parametrize("accumulate_batches", [1, 2])
def test_generators_loss_leaves_no_gradient_in_the_critic(accumulate_batches: int) -> None:
    """Within a window neither, where the critic's own gradients wait for their step."""
    alone, _, _ = train_gan(False, accumulate_batches)
    together, _, _ = train_gan(True, accumulate_batches)
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


def test_both_optimizers_of_a_gan_step_under_accumulation() -> None:
    critic, generator, steps = train_gan(True, 2)
    critic_at_once, untrained_generator, _ = train_gan(False, 1)
    assert steps == [False, True, False, True, True]
    assert not generator[0].equal(untrained_generator[0]) and not critic[0].equal(critic_at_once[0])


def test_gradients_of_a_generator_that_was_not_kept_out_are_dropped() -> None:
    """As by hand, where zero_grad comes before backward."""
    critic, generator = nn.Linear(3, 1), nn.Linear(2, 3)
    critic_optimizer, generator_optimizer = (torch.optim.SGD(model.parameters()) for model in (critic, generator))
    stepper, before = Stepper(), weights(critic)
    stepper.update(critic(generator(torch.ones(1, 2))).mean(), generator_optimizer)
    assert critic.weight.grad is not None
    stepper.update(critic(torch.ones(1, 3)).mean() * 0, critic_optimizer)
    torch.testing.assert_close(weights(critic), before, rtol=0, atol=0)


def test_optimizer_that_the_last_batch_leaves_out_steps_after_it() -> None:
    often, seldom = nn.Linear(1, 1), nn.Linear(1, 1)
    stepper = Stepper(accumulate_batches=4)
    optimizers = [torch.optim.SGD(model.parameters(), lr=1.0) for model in (often, seldom)]
    before = seldom.weight.item()
    for number in stepper.each(range(6)):
        stepper.update(often(torch.ones(1, 1)).sum(), optimizers[0])
        if number % 5 == 2:
            stepper.update(seldom(torch.ones(1, 1)).sum(), optimizers[1])
    assert seldom.weight.item() == before - 1 and not stepper.is_within_window


def test_step_is_about_the_parameters_that_are_named() -> None:
    inner, outer = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = torch.optim.SGD(inner.parameters(), lr=1.0)
    stepper = Stepper(max_norm=1e-3)
    everything = [*inner.parameters(), *outer.parameters()]
    before = weights(inner)
    stepper.update(outer(inner(torch.ones(1, 1))).sum() * 100, optimizer, parameters=everything)
    assert 0 < distance(inner, before) < 1e-3
    assert outer.weight.grad is None


# -- clipping


@pytest.mark.parametrize("accumulate_batches", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_clipped_norm_is_the_same_with_and_without_loss_scaling(precision: Any, accumulate_batches: int) -> None:
    model = network()
    before = weights(model)
    stepper = Stepper(precision=precision, accumulate_batches=accumulate_batches, max_norm=0.01)
    assert train(stepper, model, torch.optim.SGD(model.parameters(), lr=1.0), digits([8] * accumulate_batches)) == 1
    assert distance(model, before) == pytest.approx(0.01, rel=1e-3)


def test_gradients_within_the_norm_are_unscaled_and_left_alone() -> None:
    models = [network(), network()]
    for model, precision in zip(models, ("fp32", "fp16"), strict=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        train(Stepper(precision=precision, max_norm=100.0), model, optimizer, digits([32]))
    torch.testing.assert_close(weights(models[0]), weights(models[1]), rtol=0, atol=1e-3)


def test_clipping_by_value_cuts_each_number() -> None:
    model = network()
    before = weights(model)
    train(Stepper(max_value=1e-3), model, torch.optim.SGD(model.parameters(), lr=1.0), digits([32]))
    moves = [(now - then).abs().max().item() for now, then in zip(weights(model), before, strict=True)]
    assert max(moves) == pytest.approx(1e-3, rel=1e-3)


def test_clipping_by_value_comes_before_clipping_by_norm() -> None:
    model = nn.Linear(2, 1, bias=False)
    before = weights(model)
    stepper = Stepper(max_value=3.0, max_norm=1.0)
    stepper.update(model(torch.tensor([[100.0, 4.0]])).sum(), torch.optim.SGD(model.parameters(), lr=1.0))
    assert (before[0] - weights(model)[0]).flatten().tolist() == pytest.approx([0.5**0.5, 0.5**0.5], rel=1e-4)


# -- precision


def test_bf16_computes_in_bf16_and_learns() -> None:
    model = network()
    stepper, optimizer = Stepper(precision="bf16"), torch.optim.Adam(model.parameters(), lr=1e-2)
    batches = digits([64] * 10)
    inputs, targets = batches[0]
    with stepper.forward(model):
        assert model(inputs).dtype == torch.bfloat16
    before = F.cross_entropy(model(inputs), targets).item()
    for _ in range(3):
        train(stepper, model, optimizer, batches)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert F.cross_entropy(model(inputs), targets).item() < before / 2


def test_loss_scale_is_used_in_backward() -> None:
    norms: list[float] = []
    for precision in ("fp32", "fp16"):
        model = network()
        next(model.parameters()).register_hook(lambda gradient: norms.append(gradient.norm().item()))
        train(Stepper(precision=precision), model, torch.optim.SGD(model.parameters(), lr=0.1), digits([32]))
    assert norms[1] == pytest.approx(norms[0] * 2**16, rel=1e-2)


def test_losses_in_16_bits_are_not_overflowed_by_their_sum() -> None:
    model = nn.Linear(4, 1)
    stepper, optimizer = Stepper(accumulate_batches=4), torch.optim.SGD(model.parameters())
    large = ((model(inputs).mean() + 30_000).half() for inputs in stepper.each(torch.ones(4, 8, 4)))
    assert [stepper.update(loss, optimizer) for loss in large] == [False, False, False, True]


@pytest.mark.parametrize("accumulate_batches", [1, 2])
def test_skipped_fp16_step_advances_neither_scheduler_nor_average(accumulate_batches: int) -> None:
    model = network()
    stepper = Stepper(precision="fp16", accumulate_batches=accumulate_batches)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    scheduler, ema = LambdaLR(optimizer, lambda step: 0.5**step), EMA(model)
    stepper.attach(optimizer, scheduler=scheduler, ema=ema)
    before, applied = weights(model), 0
    for inputs, targets in stepper.each(digits([8] * 20)):
        with stepper.forward(model):
            loss = F.cross_entropy(model(inputs), targets) * 1000  # more than fp16 can hold, at the first scales
        is_applied = stepper.update(loss, optimizer, weight=8)
        applied += is_applied
        assert applied or all(now.equal(then) for now, then in zip(weights(model), before, strict=True))
        assert scheduler.last_epoch == ema.num_steps == applied
    assert 0 < stepper.num_overflows < 20 // accumulate_batches
    assert stepper.num_overflows + applied == 20 // accumulate_batches
    assert stepper.num_skipped == 0, "the search for a scale is no failure"


def test_gradients_that_overflow_with_nothing_to_scale_down_fail() -> None:
    model, optimizer, stepper = scene(precision="fp16")
    with pytest.raises(NonFiniteLoss, match="the norm of the gradients is nan at step 17;"):
        for loss in losses(model, "d" * 20):
            stepper.update(loss, optimizer)
    assert stepper.num_overflows == 16


def test_loss_that_is_not_finite_is_not_blamed_on_the_scale() -> None:
    model, optimizer, stepper = scene(precision="fp16")
    with pytest.raises(NonFiniteLoss, match="the loss is inf at step 1;"):
        stepper.update(next(losses(model, "i")), optimizer)


# -- values that are not finite


def losses(model: nn.Module, kinds: str) -> Iterator[Tensor]:
    """For each letter a loss: (g)ood, (n)an, (i)nf, or a finite one whose (d)erivative is not."""
    for kind in kinds:
        output = model(torch.ones(1, 1)).sum()
        yield {
            "g": output,
            "n": output * math.nan,
            "i": output + math.inf,
            "d": (output - output.detach()).abs().sqrt(),
        }[kind]


def scene(**options: Any) -> tuple[nn.Linear, torch.optim.Optimizer, Stepper]:
    model = nn.Linear(1, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), Stepper(**options)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("n", "the loss is nan"), ("i", "the loss is -?inf"), ("d", "the norm of the gradients is nan")],
)
@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"max_value": 1.0}])
def test_bad_step_stops_at_once_and_leaves_the_weights_alone(kind: str, message: str, options: dict[str, Any]) -> None:
    model, optimizer, stepper = scene(**options)
    stepper.where = "epoch 3"
    for loss in losses(model, "gg"):
        assert stepper.update(loss, optimizer)
    before = weights(model)
    with pytest.raises(NonFiniteLoss, match=rf"^{message} at step 3 \(epoch 3\); try a smaller learning rate"):
        stepper.update(next(losses(model, kind)), optimizer)
    assert weights(model) == before and model.weight.grad is None
    assert stepper.update(next(losses(model, "g")), optimizer)


def test_bad_batch_spoils_its_window_only() -> None:
    model, optimizer, stepper = scene(accumulate_batches=2, max_skipped_steps=1)
    steps = [stepper.update(loss, optimizer) for loss in stepper.each(losses(model, "ggngg"))]
    assert steps == [False, True, False, False, True] and stepper.num_skipped == 1
    assert math.isfinite(model.weight.item())


def test_up_to_n_bad_steps_in_a_row_are_skipped() -> None:
    model, optimizer, stepper = scene(max_skipped_steps=2)
    scheduler, ema = LambdaLR(optimizer, lambda step: 1.0), EMA(model)
    stepper.attach(optimizer, scheduler=scheduler, ema=ema)
    steps = [stepper.update(loss, optimizer) for loss in losses(model, "gndgni")]
    assert steps == [True, False, False, True, False, False]
    assert stepper.num_skipped == 4 and scheduler.last_epoch == ema.num_steps == 2
    before = weights(model)
    with pytest.raises(NonFiniteLoss, match="the loss is nan at step 7, after 2 in a row that were skipped; try"):
        stepper.update(next(losses(model, "n")), optimizer)
    assert weights(model) == before and stepper.num_skipped == 4


def test_bad_step_of_one_of_two_optimizers_says_whose_it_is() -> None:
    stepper = Stepper()
    optimizers = [torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2)]
    for optimizer in optimizers:
        stepper.attach(optimizer)
    with pytest.raises(NonFiniteLoss, match="at step 1 of optimizer 2;"):
        stepper.update(optimizers[1].param_groups[0]["params"][0].sum() * math.nan, optimizers[1])


FUSED = [("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {})]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU as if it were an accelerator; torch's fused optimizers heed the same flag on both."""
    monkeypatch.setattr(Stepper, "_may_stay_unread", lambda *_: True)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("name", "options"), FUSED)
def test_steps_nobody_waits_for_are_the_same_steps(name: str, options: dict[str, Any]) -> None:
    ours, theirs = network(), network()
    make = getattr(torch.optim, name)
    stepper = Stepper(max_norm=1.0)
    train(stepper, ours, make(ours.parameters(), lr=1e-2, fused=True, **options), digits([32] * 6))
    stepper.check()
    optimizer = make(theirs.parameters(), lr=1e-2, fused=True, **options)
    for inputs, targets in digits([32] * 6):
        optimizer.zero_grad()
        F.cross_entropy(theirs(inputs), targets).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("name", "options"), FUSED)
@pytest.mark.parametrize(("kind", "message"), [("n", "the loss is nan"), ("d", "the norm of the gradients is nan")])
def test_bad_step_nobody_waited_for_is_found_later(name: str, options: dict[str, Any], kind: str, message: str) -> None:
    """Neither it nor what follows is applied, and the check names the first."""
    model = nn.Linear(1, 1)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1, fused=True, **options)
    stepper = Stepper()
    for loss in losses(model, "gg"):
        stepper.update(loss, optimizer)
    stepper.check()
    stepper.update(next(losses(model, "g")), optimizer)
    before = weights(model)
    for loss in losses(model, kind + "gig"):
        stepper.update(loss, optimizer)
    assert weights(model) == before
    for look in (stepper.check, stepper.state_dict):
        with pytest.raises(NonFiniteLoss, match=f"^{message} at step 4; try a smaller learning rate"):
            look()


def test_only_what_can_be_left_out_on_the_device_is_not_waited_for() -> None:
    parameters, gpu = [nn.Parameter(torch.ones(1))], torch.device("cuda")
    fused, plain = torch.optim.Adam(parameters, fused=True), torch.optim.Adam(parameters)
    assert Stepper()._may_stay_unread(fused, gpu)
    assert not Stepper()._may_stay_unread(fused, torch.device("cpu"))
    assert not Stepper()._may_stay_unread(plain, gpu)
    assert not Stepper(max_skipped_steps=1)._may_stay_unread(fused, gpu)
    assert not Stepper(precision="fp16")._may_stay_unread(fused, gpu)


# -- what advances, and what is saved


def test_schedule_and_average_advance_once_a_window() -> None:
    model = network()
    stepper, optimizer = Stepper(accumulate_batches=3), torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler, ema = LambdaLR(optimizer, lambda step: 0.5**step), EMA(model)
    stepper.attach(optimizer, scheduler=scheduler, ema=ema)
    train(stepper, model, optimizer, digits([8] * 7))
    assert scheduler.last_epoch == ema.num_steps == 3


def test_average_leaves_the_weights_as_they_would_be() -> None:
    models = [network(), network()]
    for model in models:
        optimizer, stepper = torch.optim.Adam(model.parameters()), Stepper()
        if model is models[0]:
            stepper.attach(optimizer, ema=EMA(model, decay=0.9, warmup_steps=3, every_n_steps=2))
        train(stepper, model, optimizer, digits([16] * 10))
    torch.testing.assert_close(weights(models[0]), weights(models[1]), rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resumed_training_ends_as_if_never_interrupted(precision: Any) -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer, LambdaLR, EMA, Stepper]:
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        scheduler, ema = LambdaLR(optimizer, lambda step: 0.9**step), EMA(model, decay=0.9, warmup_steps=10)
        stepper = Stepper(precision=precision, accumulate_batches=2, max_norm=1.0, max_skipped_steps=1)
        stepper.attach(optimizer, scheduler=scheduler, ema=ema)
        return model, optimizer, scheduler, ema, stepper

    first, second = digits([16] * 7), digits([16] * 30)
    second[0] = (second[0][0] * 1e4, second[0][1])  # the loss scale has something to learn
    whole = build()
    for batches in (second, first):
        train(whole[-1], whole[0], whole[1], batches)
    before, after = build(), build()
    train(before[-1], before[0], before[1], second)
    states = restore_state(flatten_state([part.state_dict() for part in before]))
    for part, state in zip(after, states, strict=True):
        part.load_state_dict(state)
    train(after[-1], after[0], after[1], first)
    for then, now in zip(whole, after, strict=True):
        assert flatten_state(now.state_dict()) == flatten_state(then.state_dict())


def test_half_a_window_cannot_be_saved() -> None:
    model = network()
    stepper, optimizer = Stepper(accumulate_batches=2), torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, targets in stepper.each(digits([8] * 2)):
        stepper.update(F.cross_entropy(model(inputs), targets), optimizer)
        if not stepper.closes_window:
            with pytest.raises(RuntimeError, match="save after the window ends"):
                stepper.state_dict()
    assert stepper.state_dict()["optimizers"][0]["num_steps"] == 1


def test_state_of_other_optimizers_is_refused() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters())
    plain, averaging = Stepper(), Stepper()
    plain.attach(optimizer)
    averaging.attach(optimizer, ema=EMA(model))
    with pytest.raises(UserError, match="the state has 1 and the stepper 0 optimizers"):
        Stepper().load_state_dict(plain.state_dict())
    with pytest.raises(UserError, match="optimizer 1 has averages, and no EMA is attached"):
        plain.load_state_dict(averaging.state_dict())
    with pytest.raises(UserError, match="optimizer 1 has no averages, and an EMA is attached"):
        averaging.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, not 'fp8'"),
        ({"accumulate_batches": 0}, "accumulate_batches must be at least 1, not 0"),
        ({"max_norm": 0.0}, "max_norm must be above 0, not 0.0"),
        ({"max_value": math.nan}, "max_value must be above 0, not nan"),
        ({"max_skipped_steps": -1}, "max_skipped_steps must be at least 0, not -1"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Stepper(**options)


def test_norms_are_measured_now_and_then_where_nothing_is_clipped_and_bad_ones_always() -> None:
    model, told = nn.Linear(1, 1), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stepper = Stepper(max_skipped_steps=1)
    stepper.norm_every_n_steps, stepper.on_step = 3, lambda loss, norm: told.append(norm)
    before = None
    for number, loss in enumerate(losses(model, "gggdg")):
        before = weights(model) if number == 3 else before
        stepper.update(loss, optimizer)
        assert number != 3 or weights(model) == before
    assert [norm is not None and math.isfinite(norm) for norm in told] == [True, False, False, False, False]
    assert told[1] is told[2] is None and math.isnan(told[3])
    clipping = Stepper(max_norm=1.0)
    clipping.norm_every_n_steps, clipping.on_step = 3, lambda loss, norm: told.append(norm)
    for loss in losses(model, "gg"):
        clipping.update(loss, optimizer)
    assert None not in told[-2:]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_are_finite_only_if_each_is_and_stay_as_they_are(bad: float, dtype: torch.dtype) -> None:
    gradients = [torch.randn(3, 2), torch.randn(2, 3).t().to(dtype), torch.randn(6)[::2]]
    before = [gradient.clone() for gradient in gradients]
    assert are_finite(gradients) and are_finite([])
    assert all(map(torch.equal, gradients, before))
    for gradient in gradients:
        gradient[1] = bad
        assert not are_finite(gradients)
        gradient[1] = 0


def test_steps_whose_finite_gradients_have_no_finite_norm_are_taken_whether_it_was_measured_or_not() -> None:
    model = nn.Linear(4, 1, bias=False)
    optimizer, stepper, told = torch.optim.SGD(model.parameters(), lr=1e-38), Stepper(), []
    stepper.norm_every_n_steps, stepper.on_step = 2, lambda loss, norm: told.append(norm)
    for _ in range(2):
        assert stepper.update(model(torch.full((1, 4), 3e19)).sum(), optimizer)
    assert told == [math.inf, None]


def test_complex_weights_are_trained_at_every_step() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    optimizer, stepper = torch.optim.SGD([weight], lr=0.1), Stepper(max_skipped_steps=1)
    stepper.norm_every_n_steps = 16
    assert [stepper.update(weight.abs().sum(), optimizer) for _ in range(3)] == [True] * 3
    assert not stepper.update((weight.abs().sum() - weight.abs().sum().detach()).sqrt(), optimizer)


def test_windows_that_are_open_at_the_end_of_a_loop_are_stepped_and_in_a_broken_off_one_dropped() -> None:
    model, optimizer, stepper = scene()
    for _ in stepper.each(range(3)):
        stepper.backward(model(torch.ones(1, 1)).sum(), optimizer)
    assert stepper.num_steps == 1 and not stepper.is_within_window
    for _ in stepper.each(range(3)):
        stepper.backward(model(torch.ones(1, 1)).sum(), optimizer)
        break
    assert stepper.num_steps == 1 and not stepper.is_within_window
