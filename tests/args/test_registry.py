"""The registry is data: resolved when asked, with errors that help."""

from pathlib import Path

import pytest

from labwright.args import ExperimentArgs, UserError
from labwright.args.registry import as_registry, describe, resolve


class DigitsGanArgs(ExperimentArgs):
    """Digits from noise.

    More.
    """


def test_single_class_is_a_registry_named_after_it() -> None:
    assert as_registry(DigitsGanArgs) == {"digits_gan": DigitsGanArgs}


def test_unknown_id_names_the_nearest_and_the_known() -> None:
    """T: an unknown id was an AssertionError."""
    with pytest.raises(UserError) as caught:
        resolve({"mnist": "a:B", "digits": DigitsGanArgs}, "mnits")
    assert str(caught.value) == ("--experiment_id: 'mnits' is not registered; did you mean mnist? known: mnist, digits")


@pytest.mark.parametrize(
    ("entry", "end"),
    [
        ("labwright.args.base:Nothing", "but labwright.args.base has no Nothing"),
        ("labwright.args.base", "but labwright.args.base has no class named after a colon"),
        ("labwright.args.base:Args", "must name a subclass of ExperimentArgs"),
        ("labwright.args.base:canonical", "must name a subclass of ExperimentArgs"),
    ],
)
def test_entry_that_names_no_args_class_is_refused(entry: str, end: str) -> None:
    with pytest.raises(UserError, match="registry: broken") as caught:
        resolve({"broken": entry}, "broken")
    assert end in str(caught.value)


def test_broken_experiment_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_lab.py").write_text("raise RuntimeError('at import')\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = dict(describe({"broken": "broken_lab:X", "gone": "no_such_lab:X", "good": DigitsGanArgs}))
    assert found["good"] == "Digits from noise."
    assert found["broken"] == "(broken: RuntimeError: at import)"
    assert found["gone"].startswith("(broken: ModuleNotFoundError")
