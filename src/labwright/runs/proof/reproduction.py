"""Whether a run comes out the same when it is done again: identical, within a tolerance, or different from a step."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

from labwright.args.errors import UserError
from labwright.args.wording import MASK, listed, spelled

from ..directory import RunDirectory
from ..provenance import host, versions
from ..record import section
from .divergence import Divergence, compare_runs
from .repetition import Repetition, begun_run

Verdict = Literal["identical", "within tolerance", "different"]
_MOST_SHOWN = 8
_TELLING = ("platform", "architecture", "cpu", "num_cpus")
"""What of a host may change a result."""


@dataclass(frozen=True)
class Reproduction:
    """What came of doing a run again."""

    run: str
    tolerance: float
    divergence: Divergence
    metric_gap: float
    """The largest relative difference of a final metric."""
    environment: list[str]
    """What is not as it was: Python, packages, computer."""
    data: tuple[str | None, str | None]
    """The fingerprints of both datasets."""
    has_other_args: bool = False
    """Whether args.yaml is not what the run had: it was changed since."""
    failure: str | None = None
    """How the second run ended where that was not well."""

    @property
    def verdict(self) -> Verdict:
        if self.divergence.is_identical and self.failure is None:
            return "identical"
        return "within tolerance" if self._is_near() and self.failure is None else "different"

    @property
    def has_other_data(self) -> bool:
        return None not in self.data and self.data[0] != self.data[1]

    def _is_near(self) -> bool:
        """Whether only the last digits differ, of a run that saw the same data and drew the same numbers."""
        difference = self.divergence.difference
        is_rounding = difference is None or difference.components == ("weights",)
        return is_rounding and max(self.divergence.loss_gap, self.metric_gap) <= self.tolerance

    def lines(self) -> list[str]:
        """The verdict, the evidence and the likely causes; what is wrong with the data first."""
        lines = ["the data is not what it was (another fingerprint): the run cannot be the same"] * self.has_other_data
        lines += ["args.yaml was changed since the run: this was done with other arguments"] * self.has_other_args
        lines += [f"the second run failed: {self.failure}"] * (self.failure is not None)
        headline, *evidence = self.divergence.lines()
        if self.verdict == "within tolerance":
            gaps = f"losses up to {self.divergence.loss_gap:.2g}, final metrics up to {self.metric_gap:.2g} apart"
            headline = f"within tolerance ({gaps}, relatively; {self.tolerance:g} is allowed)"
            evidence.insert(0, f"  {self.divergence.headline()}")
        return [*lines, headline.replace("first differ at", "first differing at"), *evidence]

    def to_json(self) -> dict[str, Any]:
        own = {name: value for name, value in asdict(self).items() if name != "divergence"}
        return {"verdict": self.verdict, **own, "divergence": self.divergence.to_json(), "lines": self.lines()}


def reproduce_run(
    repetition: Repetition, folder: Path, *, tolerance: float, say: Callable[[str], None]
) -> Reproduction:
    """Do the whole run again, its results in `folder`, and compare; what the second run says stands on stderr.

    Raises:
        UserError: it did not finish in the first place, or nothing came of the second run.
    """
    run, results = repetition.run, folder / "results"
    record = run.record()
    if record.get("status") != "finished":
        raise UserError(f"{run.path.name} is {record.get('status')}; only a finished run can be reproduced")
    environment = list(environment_differences(record))
    say(f"environment: {listed(environment, _MOST_SHOWN) or 'as it was'}")
    with repetition.process(repetition.begin_command(results, {}, num_ranks=repetition.num_ranks)) as process:
        code = process.wait()
    again = begun_run(results)
    if again is None:
        raise UserError(f"{run.path.name} cannot be done again: the program ended with exit code {code} at its start")
    failure = f"exit code {code}, {again.record().get('error')}" if code else None
    divergence = compare_runs(run, again)
    if repetition.code is not None:  # it is the same by construction, though the copy lies in no repository
        causes = {kind: found for kind, found in divergence.causes.items() if kind != "code"}
        divergence = replace(divergence, causes=causes)
    return Reproduction(
        run.path.name,
        tolerance,
        divergence,
        metric_gap(run, again),
        environment,
        (_data_of(run), _data_of(again)),
        has_other_args=again.record().get("identity") != record.get("identity"),
        failure=failure,
    )


def environment_differences(record: Mapping[str, Any]) -> Iterator[str]:
    """`torch 2.12.0 -> 2.13.0`: what of Python, the packages and the computer is not as a record says."""
    before, now = section(record, "host"), host()
    then = section(record, "versions") | {name: before.get(name) for name in _TELLING}
    today = versions() | {name: now[name] for name in _TELLING}
    for name in {**then, **today}:
        values = then.get(name), today.get(name)
        if values[0] != values[1] and MASK not in values:
            yield f"{name} {' -> '.join('none' if value is None else spelled(value) for value in values)}"


def metric_gap(a: RunDirectory, b: RunDirectory) -> float:
    """The largest relative difference of a metric in the last row of a split; infinity where one has no such metric."""
    one, other = _final_metrics(a), _final_metrics(b)
    return max((_gap(one.get(name), other.get(name)) for name in one.keys() | other.keys()), default=0.0)


def _data_of(run: RunDirectory) -> str | None:
    return section(run.record(), "dataset").get("fingerprint")


def _final_metrics(run: RunDirectory) -> dict[str, Any]:
    return {f"{row['split']}/{name}": value for row in run.history() for name, value in row["metrics"].items()}


def _gap(a: Any, b: Any) -> float:
    if a == b:
        return 0.0
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return inf
    return abs(a - b) / max(abs(a), abs(b))
