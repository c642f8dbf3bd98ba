"""Properties of the command line over generated configurations and lines."""

import datetime as dt
import enum
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from labwright.args import Args, parse
from labwright.args.base import canonical
from labwright.args.files import yaml_entry


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Adam(Args):
    kind: Literal["adam"] = "adam"
    learning_rate: float = 1e-3


class Sgd(Args):
    kind: Literal["sgd"] = "sgd"
    momentum: float = 0.0
    steps: list[int] = [1]


class Everything(Args):
    number: int = 0
    fraction: float = 0.5
    text: str = "x"
    yes: bool = False
    maybe: int | None = 1
    either: int | Literal["auto"] = "auto"
    bits: Literal[8, 16] = 8
    colour: Colour = Colour.RED
    folder: Path = Path("runs")
    amount: Decimal = Decimal("1.10")
    wait: dt.timedelta = dt.timedelta(0)
    when: dt.datetime = dt.datetime(2024, 1, 1)
    sizes: list[int] = [1, 2]
    pair: tuple[float, float] = (0.1, 0.2)
    tags: set[str] = set()
    names: list[str] = []
    weights: dict[str, float] = {}
    optimizer: Adam | Sgd = Adam(learning_rate=0.5)
    second: Adam | Sgd | None = None
    inner: Sgd = Sgd(momentum=0.9)


finite = st.floats(allow_nan=False)
word = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
key = st.text("abcdefgh_", min_size=1, max_size=6)
adam = st.builds(Adam, learning_rate=finite)
sgd = st.builds(Sgd, momentum=finite, steps=st.lists(st.integers(), max_size=3))
everything = st.builds(
    Everything,
    number=st.integers(),
    fraction=finite,
    text=word,
    yes=st.booleans(),
    maybe=st.none() | st.integers(),
    either=st.integers() | st.just("auto"),
    bits=st.sampled_from([8, 16]),
    colour=st.sampled_from(Colour),
    folder=word.map(Path),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    wait=st.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000)),
    when=st.datetimes(),
    sizes=st.lists(st.integers(), max_size=4),
    pair=st.tuples(finite, finite),
    tags=st.sets(word, max_size=4),
    names=st.lists(word, max_size=4),
    weights=st.dictionaries(key, finite, max_size=3),
    optimizer=adam | sgd,
    second=st.none() | adam | sgd,
    inner=sgd,
)


def as_flags(model: BaseModel, prefix: str = "") -> list[str]:
    """Every field as a flag under its true name, lists and mappings as JSON."""
    flags: list[str] = []
    data = canonical(model)
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            flags += as_flags(value, f"{prefix}{name}.")
        else:
            flags.append(f"--{prefix}{name}={written(data[name])}")
    return flags


def written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(model=everything)
def test_dumped_flags_parse_to_the_same_configuration(model: Everything) -> None:
    assert parse(Everything, as_flags(model), prog="run.py") == model


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(model=everything)
def test_dumped_file_loads_to_the_same_configuration(tmp_path: Path, model: Everything) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text("\n".join(yaml_entry(name, value) for name, value in canonical(model).items()), encoding="utf-8")
    assert parse(Everything, [f"--config={preset}"], prog="run.py") == model


class Small(Args):
    number: int = 0
    names: list[str] = []
    yes: bool = False
    table: dict[str, Sgd] = {}
    token: SecretStr | None = None
    optimizer: Adam | Sgd = Adam()
    anything: Any = None


pieces = st.sampled_from(
    "- -- --- = . , [ ] { } \" ' : # % --number --names --yes --no-yes --table --table.a --table.a.momentum --token "
    "--optimizer --optimizer.kind --optimizer.momentum --momentum --kind --config --print_config --h -h --anything "
    'adam sgd none 1 -1 1e9 true [1] {} {"kind":"sgd"} {"a":1} \ud800 \x1b \n é'.split(" ")
)
words = st.lists(st.one_of(st.lists(pieces, max_size=4).map("".join), st.text(max_size=6)), max_size=6)


@settings(max_examples=400, deadline=None)
@given(argv=words)
@example(argv=["--table.=1"])
@example(argv=["--.=1"])
@example(argv=["--="])
@example(argv=["--config"])
@example(argv=["--config="])
@example(argv=['--optimizer={"kind": [1]}'])
@example(argv=['--optimizer={"kind": null}'])
@example(argv=["--optimizer.kind={}"])
@example(argv=["--number=" + "9" * 5_000])
@example(argv=["--anything=" + "9" * 5_000])
@example(argv=["--anything=" + "[" * 5_000])
@example(argv=["--names=\x00"])
@example(argv=["-help"])
def test_random_lines_end_in_a_configuration_or_an_exit(argv: list[str]) -> None:
    try:
        assert isinstance(parse(Small, argv, prog="run.py"), Small)
    except SystemExit as done:
        assert done.code in (0, 2)


@pytest.mark.parametrize(
    "content", ["optimizer: [1]", "optimizer: 3", "inner: {kind: x}", "inner: null", "sizes: {a: 1}"]
)
def test_wrong_forms_in_a_file_are_errors(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(SystemExit) as done:
        parse(Everything, [f"--config={tmp_path / 'a.yaml'}"], prog="run.py")
    assert done.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
