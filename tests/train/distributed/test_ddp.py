"""The ranks' gradients are those of one process, whichever parameters take part; numbers travel with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labwright.args import UserError
from labwright.train import Stepper, frozen
from labwright.train.distributed.ddp import DataParallel
from labwright.train.distributed.group import Group, join
from labwright.train.distributed.steps import StepAgreement
from tests.train.distributed.ranks import as_torchrun_does

NUM_SAMPLES, NUM_STEPS = 12, 4


class Branches(nn.Module):
    """Parts that take part in some steps, for some samples, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right, self.spare = (nn.Linear(5, 5) for _ in range(4))


class Table(nn.Module):
    """A table whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rows = nn.Linear(5, 5), nn.Embedding(8, 5, sparse=True)
        self.sparse = True  # torch has such a flag in modules with a sparse `weight`


class Story:
    """A training that one process or several go through, each with its share of the samples of a step."""

    model: type[nn.Module] = Branches
    optimizer: Callable[..., torch.optim.Optimizer] = partial(torch.optim.Adam, weight_decay=0.1)
    accumulate_batches = 1

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        return model.left(model.first(x)).square().mean()

    def weight(self, x: Tensor) -> float:
        return float(len(x))

    def before_step(self, model: Any, step: int) -> None:
        """Called before each step."""

    def early(self, model: Any, x: Tensor) -> Tensor:
        """What is computed before the part of the loss that the ranks know of."""
        return x


class Plain(Story):
    """One branch in all steps."""


class InTurns(Story):
    """The branches take turns, so that each has steps without it; its momentum must not move it then."""

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        branch = model.left if step % 2 else model.right
        return branch(model.first(x)).square().mean()


class OfSomeSamples(Story):
    """Only samples whose first number is above 0 take the left branch: on some ranks none does."""

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        return torch.stack([self._of_one(model, each) for each in x]).mean()

    def _of_one(self, model: Any, x: Tensor) -> Tensor:
        hidden = model.first(x)
        return (model.left(hidden) if x[0] > 0 else hidden).square().mean()


class OlderThanTheCall(Story):
    """The first layer is called before `parallel` is, so its gradients come after all others."""

    def early(self, model: Any, x: Tensor) -> Tensor:
        return model.first(x)

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        return model.left(x).square().mean()


class ThawedLater(Story):
    """The first layer joins after two steps, and leaves again for the last."""

    def before_step(self, model: Any, step: int) -> None:
        model.first.requires_grad_(step in (2,))


class ThawedInAWindow(Story):
    """The first layer joins when a window has begun."""

    accumulate_batches = 2

    def before_step(self, model: Any, step: int) -> None:
        model.first.requires_grad_(step > 0)


class ThawedBeforeTheCall(Story):
    """The left branch joins when what comes before it has been computed."""

    def early(self, model: Any, x: Tensor) -> Tensor:
        return model.right(model.first(x))

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        return model.left(x).square().mean()

    def before_step(self, model: Any, step: int) -> None:
        model.left.requires_grad_(step > 1)


class Frozen(Story):
    """One branch is frozen while the loss is made."""

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        with frozen(model.right):
            return (model.left(model.first(x)) + model.right(x)).square().mean()


class Fractions(Story):
    """The weights of samples are no whole numbers."""

    def weight(self, x: Tensor) -> float:
        return float(x[:, 1].abs().sum())

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        each = model.left(model.first(x)).square().mean(1)
        return (each * x[:, 1].abs()).sum() / x[:, 1].abs().sum()


class SmallWeights(Fractions):
    """They are small."""

    def weight(self, x: Tensor) -> float:
        return 1e-8 * super().weight(x)


class OnceInAWindow(Story):
    """The right branch takes part in the first batch of a window alone."""

    accumulate_batches = 2

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        branch = model.left if step % 2 else model.right
        return branch(model.first(x)).square().mean()


class Sparse(Story):
    """Some rows of a table; what they are added to has the same gradient."""

    model, optimizer = Table, torch.optim.SGD

    def loss(self, model: Any, x: Tensor, step: int) -> Tensor:
        index = (x[:, 0] * 3).abs().long().clamp(max=7)
        return (model.first(x) + model.rows(index)).square().mean()


STORIES = (
    Plain,
    InTurns,
    OfSomeSamples,
    OlderThanTheCall,
    ThawedLater,
    ThawedInAWindow,
    ThawedBeforeTheCall,
    Frozen,
    Fractions,
    SmallWeights,
    OnceInAWindow,
    Sparse,
)


def samples(step: int) -> Tensor:
    return torch.randn(NUM_SAMPLES, 5, generator=torch.Generator().manual_seed(step)).double()


def parts_of(x: Tensor, story: Story) -> Tensor:
    """This rank's samples, of unequal number, sorted so that ranks have unlike ones."""
    cuts = {1: [0, 12], 2: [0, 7, 12], 3: [0, 5, 10, 12]}[story.size]
    return x[x[:, 0].argsort()][cuts[story.rank] : cuts[story.rank + 1]]


def train(
    story: Story, group: Group | None, dtype: torch.dtype = torch.float64, *, as_on_a_gpu: bool = False
) -> dict[str, Tensor]:
    """The weights after some steps."""
    torch.manual_seed(0)
    model = story.model().to(dtype)
    story.before_step(model, 0)
    parallel: Any = None
    optimizer = type(story).optimizer(model.parameters(), lr=0.05)
    stepper = Stepper(accumulate_batches=story.accumulate_batches)
    if group is not None:
        parallel = DataParallel(model, group)
        parallel.sends_with_gradients = not as_on_a_gpu
        stepper.ranks = StepAgreement(group, NUM_SAMPLES / group.size, parallel)
    for step, batch in enumerate(stepper.each([samples(step).to(dtype) for step in range(NUM_STEPS)])):
        story.before_step(model, step)
        x = parts_of(batch, story)
        early = story.early(model, x)
        if parallel is None:
            loss = story.loss(model, early, step)
        else:
            assert stepper.ranks is not None
            stepper.ranks.was_called = True
            parallel.hold_gradients(not stepper.closes_window)
            loss = parallel(story.loss, model, early, step)
            with torch.no_grad():
                parallel(story.loss, model, early, step)  # somebody looks at what it came to
        stepper.update(loss, optimizer, weight=story.weight(x))
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def on_a_rank(names: list[str]) -> dict[str, Any]:
    """What each story comes to on this rank, and what the ranks told each other."""
    group = join(lambda: torch.device("cpu"))
    found: dict[str, Any] = {}
    for name in names:
        story = globals()[name](group.rank, group.size)
        with counted(group) as calls:
            found[name] = {"weights": train(story, group), "calls": calls}
        found[f"{name} as on a GPU"] = {"weights": train(story, group, as_on_a_gpu=True)}
    found["float32"] = {"weights": train(Plain(group.rank, group.size), group, torch.float32)}
    found["refusals"] = [refused(group, train_without_parallel), refused(group, train_with_gaps)]
    found["resumed"] = resumed(group)
    group.leave()
    return found


@contextmanager
def counted(group: Group) -> Iterator[list[int]]:
    """Within, the exchanges of a group besides the gradients' are counted."""
    calls, before = [0], group.sum

    def counting(values: list[float]) -> list[float]:
        calls[0] += 1
        return before(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "sum", counting)
        yield calls


def refused(group: Group, act: Callable[[Group], None]) -> str:
    try:
        act(group)
    except UserError as error:
        return str(error)
    return ""


def train_without_parallel(group: Group) -> None:
    model = nn.Linear(5, 1).double()
    stepper = Stepper()
    stepper.ranks = StepAgreement(group, 6, DataParallel(model, group))
    stepper.update(model(samples(0)).mean(), torch.optim.SGD(model.parameters(), lr=0.1))


def train_with_gaps(group: Group) -> None:
    """The second batch updates nothing, so its window, of two, is not full before the third."""
    model = nn.Linear(5, 1).double()
    parallel = DataParallel(model, group)
    stepper = Stepper(accumulate_batches=2)
    stepper.ranks = StepAgreement(group, 6, parallel)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, batch in enumerate(stepper.each([samples(step) for step in range(5)])):
        if step != 1:
            stepper.ranks.was_called = True
            parallel.hold_gradients(not stepper.closes_window)
            stepper.update(parallel(lambda x: model(x).mean(), batch), optimizer)


def resumed(group: Group) -> list[bool]:
    """Whether weights of several buckets are to the bit those of a run that began anew after each step."""
    whole, anew = (nn.Sequential(nn.Linear(600, 600), nn.Linear(600, 600), nn.Linear(600, 1)) for _ in range(2))
    anew.load_state_dict(whole.state_dict())
    for model, is_anew in ((whole, False), (anew, True)):
        parallel = DataParallel(model, group)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        stepper = Stepper()
        for step in range(3):
            if is_anew:
                parallel = DataParallel(model, group)
            stepper.ranks = StepAgreement(group, 1, parallel)
            stepper.ranks.was_called = True
            x = torch.randn(1, 600, generator=torch.Generator().manual_seed(10 * step + group.rank))
            stepper.update(parallel(lambda x, model=model: model(x).square().mean(), x), optimizer)
    return [bool(torch.equal(a, b)) for a, b in zip(whole.parameters(), anew.parameters(), strict=True)]


@pytest.fixture(scope="module", params=[2, 3], ids=["two ranks", "three ranks"])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    yield as_torchrun_does(request.param, folder, on_a_rank, [story.__name__ for story in STORIES])


@pytest.mark.slow
@pytest.mark.parametrize("exchange", ["", " as on a GPU"])
@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.__name__)
def test_ranks_come_to_the_weights_of_one_process(
    kind: type[Story], exchange: str, ranks: list[dict[str, Any]]
) -> None:
    """Whether numbers travel with the gradients, or beside them."""
    alone = train(kind(0, 1), None)
    for found in ranks:
        for name, value in found[kind.__name__ + exchange]["weights"].items():
            torch.testing.assert_close(
                value, alone[name], rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.slow
def test_what_never_took_part_is_not_touched(ranks: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    at_first = deepcopy(Branches().double().state_dict())
    for found in ranks:
        assert torch.equal(found["InTurns"]["weights"]["spare.weight"], at_first["spare.weight"])


@pytest.mark.slow
def test_ranks_ask_who_used_what_only_where_something_was_not(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        assert found["Plain"]["calls"] == [NUM_STEPS], "`right` and `spare` take no part in any step"
        assert found["Fractions"]["calls"] == [2 * NUM_STEPS], "and the weights are told in double precision"


@pytest.mark.slow
def test_weights_in_32_bits_are_those_of_one_process(ranks: list[dict[str, Any]]) -> None:
    alone = train(Plain(0, 1), None, torch.float32)
    for found in ranks:
        for name, value in found["float32"]["weights"].items():
            torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_steps_that_the_ranks_would_not_take_alike_are_refused(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        without, gaps = found["refusals"]
        assert "must compute each loss by self.parallel(" in without
        assert "must call self.backward for each batch where --accumulate_batches is above 1" in gaps


@pytest.mark.slow
def test_sums_are_rounded_as_in_a_run_that_begins_anew(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        assert all(found["resumed"])
