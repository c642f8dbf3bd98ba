"""Tests of the tests: mistakes that were planted are found, and the unspoiled source passes the same scenarios."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import Lab
from tests.chaos.mutants import MUTANTS, Mutant, apply, catch
from tests.chaos.scenarios import Reference

pytestmark = pytest.mark.kill
IN_SMOKE = {"directories are not synced", "random numbers do not go on where they were", "the run is not locked"}


def by_name(mutant: Mutant) -> str:
    return mutant.name


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("chaos") / "lab") as lab:
        yield lab


@pytest.fixture(scope="module")
def references(lab: Lab) -> dict[str, Reference]:
    return {"mlp": Reference.of(lab, "mlp")}


@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_each_mutant_finds_its_place_in_the_source(mutant: Mutant, tmp_path: Path) -> None:
    apply(mutant, tmp_path / "src")


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.name in IN_SMOKE], ids=by_name)
def test_a_mutant_is_caught(lab: Lab, mutant: Mutant, tmp_path: Path, references: dict[str, Reference]) -> None:
    assert catch(mutant, tmp_path / "mutant", lab.src, references) is not None


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.name in IN_SMOKE], ids=by_name)
def test_the_source_as_it_is_passes_what_catches_a_mutant(
    lab: Lab, mutant: Mutant, references: dict[str, Reference]
) -> None:
    mutant.detect(lab, references)
