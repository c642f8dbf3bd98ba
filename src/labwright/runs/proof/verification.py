"""Whether a run resumes exactly: a short form of it runs undisturbed, and is killed and resumed, and both must agree.

Compared are every tensor of the last checkpoint and of the weights, what the checkpoint says besides, every fingerprint
and every history row, bit by bit; only measured times may differ.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError
from labwright.args.wording import listed

from ..checkpoints.store import CheckpointStore
from ..code.snapshot import Snapshot
from ..directory import RunDirectory
from ..durable import strict_json, write_durably
from ..redaction import redact_text
from ..sizes import count_text
from .divergence import compare_runs
from .killing import Kill, Killing, KillingFailed, Say
from .repetition import Repetition, last_words, run_within
from .state_files import compare_states

CERTIFICATE = "certificate.json"
_STEPS_PER_EPOCH = 8
_EPOCHS = 2
_OPTIONS: dict[str, Any] = {"predictions": "none", "keep_checkpoints": 2}
_WAYS_TO_KEEP: tuple[dict[str, Any], ...] = (_OPTIONS | {"checkpoint_every_n_steps": 1}, _OPTIONS)
"""Not every experiment has checkpoints within an epoch."""
_LEFT_OUT = ("predict_on_train", "probabilities", "batch_histograms", "checkpoint_every_seconds")
"""Flags that a short form goes without."""
_PATIENCE_SECONDS = 300.0
"""A process that needs this and ten times as long as the undisturbed one hangs."""


@dataclass(frozen=True)
class Agreement:
    """What was compared, and where it differs."""

    num_compared: dict[str, int]
    differences: list[str]


@dataclass(frozen=True)
class Verification:
    """What it came to."""

    run: str
    short_form: dict[str, Any]
    """The arguments that make the run short."""
    num_steps: int
    num_epochs: int
    seed: int
    kills: list[Kill]
    num_compared: dict[str, int]
    differences: list[str]
    """What is not the same, the cause first where it is known."""
    num_ranks: int
    """How many the run had; one process was killed and resumed."""

    @property
    def is_verified(self) -> bool:
        return any(kill.is_telling for kill in self.kills) and not self.differences

    def headline(self) -> str:
        """The verdict in a line."""
        if not self.differences and not self.is_verified:
            return "not verified: the run trains too fast to be killed within; try again, or with more --kills"
        unit, total = ("step", self.num_steps) if self.num_steps else ("epoch", self.num_epochs)
        places = listed(str(kill.step if self.num_steps else kill.epoch) for kill in self.kills)
        done = f"killed {count_text(len(self.kills), 'time')} (after {unit} {places} of {total}) and resumed"
        if self.differences:
            return f"not verified: {done if self.kills else 'started again'}, the run is not the same"
        what = ", ".join(count_text(number, name) for name, number in self.num_compared.items())
        return f"verified: {done}, the run ends bit-identical ({what})"

    def lines(self) -> list[str]:
        """The verdict, and what differs."""
        of_ranks = [f"  on one process: that {self.num_ranks} ranks resume was not tried"] * (self.num_ranks > 1)
        return [self.headline(), *of_ranks, *(f"  {line}" for line in self.differences)]

    def to_json(self) -> dict[str, Any]:
        return {"verified": self.is_verified, "verdict": self.headline(), **asdict(self)}


def verify_run(
    repetition: Repetition, folder: Path, *, num_kills: int, seed: int, say: Say, secrets: Iterable[str] = ()
) -> Verification:
    """Do all that in `folder`, and write the certificate, without `secrets`, into the run's directory.

    Raises:
        UserError: the run cannot be repeated at all.
    """
    log, started = folder / "log.txt", time.monotonic()
    short_form, options, whole = _run_undisturbed(repetition, folder / "undisturbed", log)
    seconds = time.monotonic() - started
    num_steps, num_epochs = (max((row[name] for row in whole.history()), default=0) for name in ("step", "epoch"))
    say(f"undisturbed: {count_text(num_epochs, 'epoch')}, {count_text(num_steps, 'step')}, in {seconds:.1f} s")
    killing = Killing(repetition, short_form | options, _LEFT_OUT, log, _PATIENCE_SECONDS + 10 * seconds, say)
    try:
        agreement = _compare(whole, killing.run(folder, whole, num_kills, random.Random(seed)))
    except KillingFailed as failure:
        agreement = Agreement({}, [str(failure)])
    verification = Verification(
        repetition.run.path.name,
        short_form,
        num_steps,
        num_epochs,
        seed,
        killing.kills,
        agreement.num_compared,
        agreement.differences,
        repetition.num_ranks,
    )
    _certify(repetition, whole, verification, secrets)
    return verification


def _run_undisturbed(
    repetition: Repetition, results: Path, log: Path
) -> tuple[dict[str, Any], dict[str, Any], RunDirectory]:
    """The shortest form that the experiment takes, the options it takes with it, and the run of it."""
    name, code = repetition.run.path.name, 0
    for short_form, options in product(_short_forms(repetition.run.args()), _WAYS_TO_KEEP):
        command = repetition.begin_command(results, short_form | options, without=_LEFT_OUT)
        with repetition.process(command, log) as process:
            code = process.wait()
        if code == 0:
            return short_form, options, run_within(results)
        if code != 2:  # 2: refused, and may be taken in a longer form
            break
    raise UserError(f"{name}: a short form of it ends with exit code {code}: {last_words(log)}")


def _short_forms(args: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Arguments that make a run short, the shortest first: not every experiment takes them all."""
    all_epochs = args.get("epochs", _EPOCHS)
    if all_epochs == 0:
        raise UserError("a run of 0 epochs trains nothing: there is nothing to resume")
    window = args.get("batch_size", 1) * args.get("accumulate_batches", 1)
    num_samples = _STEPS_PER_EPOCH * window - window // 2  # a last batch that is smaller is the harder case
    num_samples = min(num_samples, args.get("limit_train_samples") or num_samples)
    for epochs in dict.fromkeys((min(all_epochs, _EPOCHS), all_epochs)):
        yield {"epochs": epochs, "limit_train_samples": num_samples}
        yield {"epochs": epochs}


def _compare(whole: RunDirectory, killed: RunDirectory) -> Agreement:
    divergence = compare_runs(whole, killed)
    counts = {"history row": len(whole.history())}
    differences: list[str] = []
    if divergence.num_steps[0]:
        counts = {"fingerprint": divergence.num_steps[0], **counts}
    if divergence.difference is not None:
        differences.append(divergence.headline())
    if divergence.history is not None:
        place, names = divergence.history, listed(divergence.history.values, 5) or "there in one of both only"
        differences.append(f"history: first in epoch {place.epoch}, {place.split} ({names})")
    pairs = {
        "the last checkpoint": (_checkpoint_path(whole), _checkpoint_path(killed)),
        "model.safetensors": (whole.model_path, killed.model_path),
    }
    for name, paths in pairs.items():
        existing = [path for path in paths if path is not None and path.is_file()]
        if len(existing) == 1:
            differences.append(f"{name}: only one of both has it")
        elif existing:
            found = compare_states(*existing)
            counts[f"{'tensor' if found.num_tensors else 'value'} of {name}"] = found.num_tensors or found.num_values
            if found.differing:
                differences.append(f"{name}: {listed(found.differing, 5)}")
    return Agreement(counts, differences)


def _certify(repetition: Repetition, whole: RunDirectory, verification: Verification, secrets: Iterable[str]) -> None:
    """Write down what was found, with what, by which code."""
    record, snapshot = whole.record(), Snapshot.of(repetition.run.record())
    code = {"snapshot": snapshot.commit, "tree": snapshot.tree} if snapshot else {"git": repetition.code_now()}
    facts = {name: record.get(name) for name in ("started_at", "device", "host", "versions")}
    content = verification.to_json() | {"code": code} | facts
    text = redact_text(strict_json(content, indent=2).decode(), secrets)
    write_durably(repetition.run.path / CERTIFICATE, f"{text}\n".encode())


def _checkpoint_path(run: RunDirectory) -> Path | None:
    return CheckpointStore(run.checkpoints_path).path_of("last")
