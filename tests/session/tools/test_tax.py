"""What the training loop and its extras cost; how long it takes is no matter here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright import Hook
from labwright.args.tools import BenchOptions
from labwright.session.tools import Tax, measure_tax, tax

BRIEF = BenchOptions(seconds=1e-6)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tax, "_SECONDS", 1e-6)
    monkeypatch.setattr(tax, "_FEWEST_ROUNDS", 2)


def test_each_extra_is_a_row_on_top_of_those_before(make: Callable[..., Any], points: Any, tmp_path: Path) -> None:
    heard: list[tuple[str, bool]] = []

    class Listening(Hook[Any]):
        def on_experiment_start(self, loop: Any) -> None:
            self.is_ready = True

        def on_batch_end(self, loop: Any) -> None:
            assert self.is_ready
            heard.append((type(self).__name__, hasattr(loop, "is_told")))
            assert loop.batch_metrics["loss"] > 0

    class Second(Listening): ...

    class Rich(points):
        def build_hooks(self) -> Sequence[Hook[Any]]:
            return [Listening(), Second()]

        def on_batch_start(self) -> None:
            heard.append(("own", True))

    experiment = make(Rich, batch_size=4)
    before, numbers = dict(vars(experiment)), torch.get_rng_state()
    found, told = measure_tax(experiment, BRIEF, lambda line: heard.append((line, True))), dict.fromkeys(heard)
    names = ["bare loop", "labwright", "+ accuracy", "+ Listening", "+ Second", "+ on_batch_start"]
    assert [row.name for row in found.rows] == names
    assert (found.num_rounds, found.num_steps, found.batch_size) == (2, 10, 4)
    assert found.rows[0].ratio == 1 and found.rows[0].added == 0
    assert all(row.cpu_seconds_per_step > 0 and row.samples_per_second > 0 for row in found.rows)
    sentence = found.sentence()
    assert sentence.startswith("a step takes ") and "times the CPU time of the bare loop: the loop itself " in sentence
    assert sentence.count("%") == 5
    times_heard = {name: [each for each, _ in heard].count(name) for name in ("Listening", "Second", "own")}
    assert times_heard == {"Listening": 3 * 3 * 10, "Second": 2 * 3 * 10, "own": 3 * 10}
    assert [line for line, _ in told if line.startswith("10 steps at a time")]
    assert vars(experiment) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not [*tmp_path.rglob("*")]


def test_the_bare_loop_and_labwright_come_to_the_same_weights(
    make: Callable[..., Any], points: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that both do the same work: with accumulation, clipping and a schedule by steps."""
    from labwright.schedulers import OneCycleArgs

    ends: dict[str, list[torch.Tensor]] = {}
    take = tax._Bench._pass_over

    def kept(self: Any, variant: str) -> None:
        take(self, variant)
        ends.setdefault(variant, []).append(
            torch.cat([each.detach().flatten() for each in self._experiment.model.parameters()])
        )

    monkeypatch.setattr(tax._Bench, "_pass_over", kept)
    fields = {"batch_size": 6, "accumulate_batches": 2, "gradient_clipping": 0.1, "scheduler": OneCycleArgs()}
    measure_tax(make(**fields), BRIEF)
    bare, ours = ends["bare loop"], ends["labwright"]
    num_epochs = len(bare) // 3  # in each of three measurements
    assert num_epochs == 2
    for each in (bare[2:4], bare[4:], ours[:2], ours[2:4], ours[4:]):
        assert all(map(torch.equal, bare[:2], each))


def test_an_experiment_with_steps_of_its_own_takes_them_in_the_bare_loop_too(
    make: Callable[..., Any], points: Any
) -> None:
    class Twice(points):
        def train_batch(self, batch: Any) -> Any:
            super().train_batch(batch)
            return super().train_batch(batch)

        def build_metrics(self) -> list[Any]:
            return []

    assert [row.name for row in measure_tax(make(Twice, batch_size=4), BRIEF).rows] == ["bare loop", "labwright"]


def test_the_sentence_names_the_time_of_an_accelerator() -> None:
    rows = [
        tax.Row(name, 1, 1, 1, ratio, (1, 1), added)
        for name, ratio, added in (("bare loop", 1, 0), ("labwright", 1.02, 0.02))
    ]
    found = Tax("x", "cuda (NVIDIA H200)", 5, 10, 4, rows)
    assert found.sentence() == "a step takes 1.02 times the time of the bare loop: the loop itself +2 %"


def test_the_sentence_says_where_the_rounds_scatter() -> None:
    rows = [tax.Row("bare loop", 1, 1, 1, 1, (1, 1), 0), tax.Row("labwright", 1, 1, 1, 1.01, (0.98, 1.47), 0.01)]
    scattered = Tax("x", "cpu (1 threads)", 5, 10, 4, rows).sentence().splitlines()[1:]
    assert scattered == ["half of the rounds came to 0.98 to 1.47: a larger --seconds says more"]
