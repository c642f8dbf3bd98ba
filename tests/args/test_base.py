"""`Args`: closed, immutable, and with an identity that every process agrees on."""

import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr, ValidationError, computed_field

from labwright.args import Args
from labwright.args.base import canonical

SCRIPT = """
from labwright.args import Args
class Part(Args):
    names: frozenset[str] = frozenset()
class Lab(Args):
    tags: set[str] = {"one", "two", "three", "four", "five"}
    sets: list[set[int]] = [{3, 100, 7}]
    by_name: dict[str, set[str]] = {"x": {"b", "a", "c"}}
    parts: set[Part] = {Part(names=frozenset("xyz")), Part(names=frozenset("abc")), Part()}
print(Lab().identity(), Lab().canonical_json())
"""


class One(Args):
    kind: Literal["one"] = "one"
    size: int = 1


class Two(Args):
    kind: Literal["two"] = "two"


def test_unknown_field_wrong_default_and_assignment_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        One(sise=2)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValidationError, match="frozen"):
        One().size = 2  # pyright: ignore[reportAttributeAccessIssue]

    class Wrong(Args):
        size: int = "many"  # pyright: ignore[reportAssignmentType]

    with pytest.raises(ValidationError, match="valid integer"):
        Wrong()


@pytest.mark.parametrize("seed", ["0", "1", "42"])
def test_identity_is_the_same_in_every_process_and_hash_seed(seed: str) -> None:
    def run(hash_seed: str) -> str:
        env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert run(seed) == run("7")


def test_identity_tells_configurations_apart_and_equal_ones_together() -> None:
    assert One().identity() == One(size=1).identity()
    assert One().identity() != One(size=2).identity()
    assert len(One().identity()) == 64


def test_canonical_form_can_be_given_back_and_holds_no_secret() -> None:
    class Lab(Args):
        part: One | Two = Two()
        tags: set[str] = {"b", "a"}
        key: SecretStr = SecretStr("hunter2")
        size: int = 2

        @computed_field
        @property
        def double(self) -> int:
            return 2 * self.size

    assert canonical(Lab()) == {"part": {"kind": "two"}, "tags": ["a", "b"], "key": "**********", "size": 2}
    assert Lab.model_validate(canonical(Lab())).part == Two()


@pytest.mark.parametrize(
    "annotation",
    [
        One | Two,
        One | Two | None,
        list[One | Two],
        dict[str, One | Two],
        tuple[One | Two, ...],
        Annotated[One | Two, Field(description="which")],
        list[Annotated[One | Two, "note"]],
        dict[str, list[One | Two | None]],
    ],
)
def test_union_of_parts_is_told_apart_by_kind_at_any_depth(annotation: Any) -> None:
    class Lab(Args):
        part: annotation

    class Child(Lab):
        more: int = 1

    for model in (Lab, Child):
        with pytest.raises(ValidationError) as caught:
            model.model_validate({"part": _wrap(annotation, {"kind": "one", "sise": 3})})
        assert caught.value.error_count() == 1, "one typo gives one error"


def _wrap(annotation: Any, value: Any) -> Any:
    text = str(annotation)
    if text.startswith("dict") and "list" in text:
        return {"a": [value]}
    if text.startswith("dict"):
        return {"a": value}
    return [value] if text.startswith(("list", "tuple")) else value


def test_variant_without_kind_or_with_a_taken_kind_is_refused_when_the_class_is_made() -> None:
    class Nameless(Args):
        size: int = 1

    class Uno(Args):
        kind: Literal["one"] = "one"

    with pytest.raises(TypeError, match=r"Lab\.part: Nameless is one of several choices and needs a field `kind"):
        type("Lab", (Args,), {"__annotations__": {"part": One | Nameless}})
    with pytest.raises(TypeError, match=r"Lab\.part: One and Uno have the same kind 'one'"):
        type("Lab", (Args,), {"__annotations__": {"part": One | Uno}})
