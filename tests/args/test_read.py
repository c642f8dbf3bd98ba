"""What a line, its files and its environment come to; each part of the story is a tiny configuration."""

import argparse
import enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ByteSize, Field, NonNegativeInt, SecretStr, model_validator

from labwright.args import Args, ExperimentArgs, MachineConfig, RunOptions, parse
from labwright.args.errors import ArgsError
from labwright.args.read import File, Reading, flag_values, read
from labwright.args.show import config_yaml


class MLPArgs(Args):
    """Fully connected."""

    kind: Literal["mlp"] = "mlp"
    hidden_sizes: list[int] = [128]
    dropout: float = Field(default=0.0, ge=0, lt=1)
    activation: Literal["relu", "gelu"] = "relu"


class CNNArgs(Args):
    """Convolutional."""

    kind: Literal["cnn"] = "cnn"
    channels: tuple[int, int] = (16, 32)
    dropout: float = 0.0


class AdamArgs(Args):
    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    eps: float = 1e-8


class SGDArgs(Args):
    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = 0.0


class WarmupArgs(Args):
    kind: Literal["warmup"] = "warmup"
    steps: int = 10
    inner: AdamArgs | SGDArgs = AdamArgs(learning_rate=0.5)


class Group(Args):
    learning_rate: float | None = None
    freeze: bool = False


class Data(Args):
    seed: int = 7
    eps: float = 0.3


class Lab(ExperimentArgs):
    model: MLPArgs | CNNArgs = MLPArgs(hidden_sizes=[64])
    optimizer: AdamArgs | SGDArgs | WarmupArgs = AdamArgs(learning_rate=0.01)
    scheduler: AdamArgs | SGDArgs | None = None
    data: Data = Data()
    groups: dict[str, Group] = {}


SCHEMAS = {"experiment": Lab, "machine": MachineConfig, "options": RunOptions}


def lab(*argv: str, **kwargs: Any) -> Lab:
    model = reading(*argv, **kwargs).models["experiment"]
    assert isinstance(model, Lab)
    return model


def reading(*argv: str, **kwargs: Any) -> Reading:
    return read(SCHEMAS, list(argv), env_prefix="LABWRIGHT_", **kwargs)


def errors(*argv: str, **kwargs: Any) -> list[str]:
    with pytest.raises(ArgsError) as caught:
        reading(*argv, **kwargs)
    return caught.value.lines


@pytest.fixture
def preset(tmp_path: Path) -> Any:
    def write(text: str, name: str = "preset.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return f"--config={path}"

    return write


# --- defaults of parts


def test_default_of_a_part_survives_a_flag_on_its_neighbour() -> None:
    model = lab("--model.dropout=0.1").model
    assert model == MLPArgs(hidden_sizes=[64], dropout=0.1)


def test_default_of_a_part_survives_a_file_and_the_environment(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab(preset("model: {dropout: 0.1}")).model == MLPArgs(hidden_sizes=[64], dropout=0.1)
    monkeypatch.setenv("LABWRIGHT_MODEL__DROPOUT", "0.2")
    assert lab().model == MLPArgs(hidden_sizes=[64], dropout=0.2)


def test_default_of_a_part_survives_two_levels_deep() -> None:
    class Middle(Args):
        model: MLPArgs = MLPArgs(hidden_sizes=[3])
        width: int = 1

    class Outer(Args):
        middle: Middle = Middle(model=MLPArgs(hidden_sizes=[5]), width=2)

    found = parse(Outer, ["--middle.model.dropout=0.5"])
    assert found.middle == Middle(model=MLPArgs(hidden_sizes=[5], dropout=0.5), width=2)


# --- choices


def test_switching_drops_the_values_of_the_default() -> None:
    assert lab("--optimizer=sgd").optimizer == SGDArgs()


def test_switching_drops_the_values_of_the_file(preset: Any) -> None:
    config = preset("optimizer: {kind: sgd, learning_rate: 0.5, momentum: 0.9}")
    assert lab(config, "--optimizer=adam").optimizer == AdamArgs()


def test_naming_the_variant_in_force_keeps_its_values(preset: Any) -> None:
    assert lab("--optimizer=adam").optimizer == AdamArgs(learning_rate=0.01)
    config = preset("optimizer: {kind: sgd, momentum: 0.9}")
    assert lab(config, "--optimizer=sgd").optimizer == SGDArgs(momentum=0.9)
    assert lab(config, "--optimizer.kind=sgd").optimizer == SGDArgs(momentum=0.9)


def test_last_choice_on_the_line_wins_and_keeps_what_it_had() -> None:
    assert lab("--optimizer=sgd", "--optimizer=adam").optimizer == AdamArgs(learning_rate=0.01)
    assert lab("--optimizer.kind=adam", "--optimizer=sgd", "--momentum=0.3").optimizer == SGDArgs(momentum=0.3)
    assert lab('--optimizer={"kind": "sgd", "momentum": 0.9}', "--optimizer=sgd").optimizer == SGDArgs(momentum=0.9)


@pytest.mark.parametrize("argv", [["--momentum=0.9"], ["--optimizer.momentum=0.9"]])
def test_field_of_an_unchosen_variant_is_an_error_that_says_so(argv: list[str]) -> None:
    (line,) = errors(*argv)
    assert "is a field of sgd only" in line
    assert "optimizer is adam (from default)" in line
    assert "--optimizer=sgd" in line


def test_field_of_an_unchosen_variant_in_a_file_says_so(preset: Any) -> None:
    config = preset("optimizer: {momentum: 0.9}")
    (line,) = errors(config)
    assert "preset.yaml: optimizer.momentum: is a field of sgd only" in line
    assert "`kind: sgd`" in line


def test_field_of_an_unchosen_variant_in_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER__MOMENTUM", "0.9")
    (line,) = errors()
    assert line.startswith("LABWRIGHT_OPTIMIZER__MOMENTUM: optimizer.momentum: is a field of sgd only")
    assert "set LABWRIGHT_OPTIMIZER=sgd too" in line
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER", "sgd")
    assert lab().optimizer == SGDArgs(momentum=0.9)


def test_kind_from_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER__KIND", "sgd")
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER__MOMENTUM", "0.9")
    assert lab().optimizer == SGDArgs(momentum=0.9)


def test_preset_may_name_a_variant_by_one_word(preset: Any) -> None:
    assert lab(preset("optimizer: sgd\noptimizer.momentum: 0.9")).optimizer == SGDArgs(momentum=0.9)
    assert lab(preset("optimizer.momentum: 0.9\noptimizer.kind: sgd")).optimizer == SGDArgs(momentum=0.9)


def test_wrong_kind_in_a_file_is_one_error_with_the_nearest_kind(preset: Any) -> None:
    (line,) = errors(preset("optimizer: {kind: sgdd, momentum: 0.9}"))
    assert '"sgdd" is not one of adam, sgd, warmup; did you mean sgd?' in line


def test_two_choices_with_the_same_kinds_are_chosen_apart() -> None:
    found = lab("--optimizer=sgd", "--scheduler=sgd", "--scheduler.momentum=0.5")
    assert found.optimizer == SGDArgs()
    assert found.scheduler == SGDArgs(momentum=0.5)


def test_choice_inside_a_variant() -> None:
    found = lab("--optimizer=warmup", "--inner=sgd", "--optimizer.inner.momentum=0.9", "--steps=3").optimizer
    assert found == WarmupArgs(steps=3, inner=SGDArgs(momentum=0.9))
    kept = lab("--optimizer=warmup", "--optimizer.inner.eps=1").optimizer
    assert kept == WarmupArgs(inner=AdamArgs(learning_rate=0.5, eps=1))


def test_optional_choice_is_chosen_and_dropped_by_flag(preset: Any) -> None:
    assert lab("--scheduler=sgd").scheduler == SGDArgs()
    assert lab(preset("scheduler: sgd"), "--scheduler=none").scheduler is None
    assert "no scheduler is chosen; add --scheduler=sgd" in errors("--scheduler.momentum=0.1")[0]


def test_one_class_may_have_two_kinds() -> None:
    class Both(Args):
        kind: Literal["plain", "nesterov"] = "plain"
        momentum: float = 0.9

    class Holder(Args):
        optimizer: Both | AdamArgs = Both(momentum=0.5)

    assert parse(Holder, ["--optimizer=nesterov"]).optimizer == Both(kind="nesterov")
    assert parse(Holder, ["--optimizer=plain"]).optimizer == Both(momentum=0.5)


def test_kind_without_a_default_is_filled_in() -> None:
    class Bare(Args):
        kind: Literal["bare"]
        size: int = 1

    class Holder(Args):
        part: Bare | AdamArgs = AdamArgs()

    assert parse(Holder, ["--part=bare", "--size=2"]).part == Bare(kind="bare", size=2)


def test_experiment_may_hold_the_args_of_two_models() -> None:
    """T: one experiment could not hold two models' args."""

    class Gan(Args):
        generator: MLPArgs = MLPArgs(hidden_sizes=[8])
        critic: MLPArgs = MLPArgs(hidden_sizes=[9])

    found = parse(Gan, ["--generator.dropout=0.1", "--critic.hidden_sizes=[1]"])
    assert found == Gan(generator=MLPArgs(hidden_sizes=[8], dropout=0.1), critic=MLPArgs(hidden_sizes=[1]))


def test_list_of_parts_is_json() -> None:
    class Ensemble(Args):
        members: list[AdamArgs | SGDArgs] = []

    found = parse(Ensemble, ['--members=[{"kind": "sgd", "momentum": 0.9}, {"kind": "adam"}]'])
    assert found.members == [SGDArgs(momentum=0.9), AdamArgs()]
    assert parse(Ensemble, ['--members={"kind": "sgd"}', '--members={"kind": "adam"}']).members == [
        SGDArgs(),
        AdamArgs(),
    ]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ('[{"kind": "sgd", "momentumm": 1}]', "--members[0].momentumm: is not a field; did you mean momentum?"),
        ('[{"kind": "sgd", "learning_rate": -1}]', '--members[0].learning_rate: "-1": should be greater than 0'),
        ('[{"kind": "sgdd"}]', '--members[0]: "sgdd" is not one of adam, sgd; did you mean sgd?'),
        ("[{}]", "--members[0]: needs a kind: adam, sgd"),
    ],
)
def test_error_in_a_list_of_parts_names_the_place(text: str, end: str) -> None:
    class Ensemble(Args):
        members: list[AdamArgs | SGDArgs] = []

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Ensemble}, [f"--members={text}"])
    assert caught.value.lines == [end]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("-1", '--workers: "-1": should be greater than or equal to 0, or auto'),
        ("many", '--workers: "many" is not auto or an integer'),
        ("autoo", '--workers: "autoo" is not auto or an integer; did you mean auto?'),
    ],
)
def test_value_out_of_the_range_of_a_member_of_a_union_says_the_range(text: str, end: str) -> None:
    """`--num_workers=-1` was told that it was not auto or an integer."""

    class Loading(Args):
        workers: Literal["auto"] | NonNegativeInt = "auto"

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Loading}, [f"--workers={text}"])
    assert caught.value.lines == [end]


@pytest.mark.parametrize("text", ["banana", "8XB"])
def test_size_that_is_none_says_how_one_is_written(text: str) -> None:
    class Limited(Args):
        limit: ByteSize | None = None

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Limited}, [f"--limit={text}"])
    assert caught.value.lines == [f'--limit: "{text}" is not a size such as 8GB']


# --- names


def test_top_level_name_wins_over_the_same_leaf_in_a_part() -> None:
    found = lab("--seed=3", "--data.seed=4")
    assert (found.seed, found.data.seed) == (3, 4)


def test_short_flag_is_refused_when_two_parts_have_it() -> None:
    """T: name clashes between components resolved silently."""
    (line,) = errors("--eps=0.5")
    assert line.startswith("--eps is ambiguous, it fits 2 arguments")
    assert "--optimizer.eps  (default 1e-08)" in line
    assert "--data.eps       (default 0.3)" in line


def test_required_candidates_are_called_required_not_undefined() -> None:
    class One(Args):
        width: int

    class Two(Args):
        width: int = 3

    class Both(Args):
        one: One
        two: Two = Two()

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Both}, ["--width=3"])
    assert "--one.width  (required)" in str(caught.value)
    assert "Undefined" not in str(caught.value)


def test_short_name_appears_with_the_variant_that_has_it() -> None:
    assert lab("--optimizer=sgd", "--eps=0.5").data.eps == 0.5


def test_dashes_and_underscores_are_the_same_everywhere(preset: Any) -> None:
    assert lab("--batch-size=3", "--model.hidden-sizes=[1]").model == MLPArgs(hidden_sizes=[1])
    assert lab(preset("batch-size: 5\nmodel:\n  hidden-sizes: [2]")).batch_size == 5


def test_part_may_have_fields_named_like_general_flags() -> None:
    class Part(Args):
        help: int = 1
        config: str = "x"

    class Holder(Args):
        part: Part = Part()

    assert parse(Holder, ["--part.help=2", "--part.config=y"]).part == Part(help=2, config="y")
    with pytest.raises(SystemExit) as done:
        parse(Holder, ["--help"])
    assert done.value.code == 0


def test_name_in_two_schemas_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="both have the field cache_dir"):
        type("Bad", (ExperimentArgs,), {"__annotations__": {"cache_dir": Path}, "cache_dir": Path("x")})
    with pytest.raises(TypeError, match="both have the field epochs"):
        type("BadMachine", (MachineConfig,), {"__annotations__": {"epochs": int}, "epochs": 1})


def test_name_in_two_schemas_of_the_lab_is_refused_when_they_meet() -> None:
    class Mine(ExperimentArgs):
        cluster: str = ""

    class LabMachine(MachineConfig):
        cluster: str = ""

    with pytest.raises(TypeError, match="both have the field cluster"):
        read({"experiment": Mine, "machine": LabMachine}, [])


# --- values


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Values(Args):
    maybe: int | None = 3
    many: list[int] = [1]
    pair: tuple[float, float] = (0.0, 1.0)
    table: dict[str, float] = {}
    mixed: int | Literal["auto"] = "auto"
    bits: Literal[4, 16] = 16
    debug: bool = False
    flag_or_none: bool | None = None
    colour: Colour = Colour.RED


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--maybe=5"], "maybe", 5),
        (["--maybe=none"], "maybe", None),
        (["--maybe=null"], "maybe", None),
        (["--many=[64, 32]"], "many", [64, 32]),
        (["--many", "64", "32"], "many", [64, 32]),
        (["--many=1,2"], "many", [1, 2]),
        (["--many=1", "--many=2"], "many", [1, 2]),
        (["--many", "-1,-2"], "many", [-1, -2]),
        (["--pair", "-1", "-.5"], "pair", (-1.0, -0.5)),
        (["--pair=[0.5, 2]"], "pair", (0.5, 2.0)),
        (['--table={"a": 1}', "--table.b=2"], "table", {"a": 1.0, "b": 2.0}),
        (["--mixed=12"], "mixed", 12),
        (["--bits=4"], "bits", 4),
        (["--colour=dark-blue"], "colour", Colour.DARK_BLUE),
        (["--debug"], "debug", True),
        (["--debug=1"], "debug", True),
        (["--debug", "yes"], "debug", True),
        (["--debug", "false"], "debug", False),
        (["--debug", "--no-debug"], "debug", False),
        (["--flag_or_none", "none"], "flag_or_none", None),
        (["--flag_or_none"], "flag_or_none", True),
    ],
)
def test_value_is_read_as_written(argv: list[str], name: str, value: Any) -> None:
    """T: `int | None`, List[int], tuple, dict, Union, nested, Literal[4, 16], bare --flag, =1 and none were misread."""
    assert getattr(parse(Values, argv), name) == value


def test_items_of_a_mapping_of_parts() -> None:
    found = lab("--groups.head.learning_rate=0.1", "--groups.body.freeze", "--groups.encoder.layers.0.freeze=true")
    assert found.groups == {
        "head": Group(learning_rate=0.1),
        "body": Group(freeze=True),
        "encoder.layers.0": Group(freeze=True),
    }


def test_items_add_to_the_mapping_in_force(preset: Any) -> None:
    config = preset("groups: {head: {learning_rate: 0.1}}\n")
    found = lab(config, "--groups.head.freeze", "--groups.body.learning_rate=0.2")
    assert found.groups == {"head": Group(learning_rate=0.1, freeze=True), "body": Group(learning_rate=0.2)}


def test_unknown_field_of_an_item_is_named_with_its_neighbour() -> None:
    (line,) = errors("--groups.head.learning_rat=0.1")
    assert line == "--groups.head.learning_rat: is not a field; did you mean learning_rate?"


def test_bad_value_of_an_item_names_the_item() -> None:
    (line,) = errors("--groups.head.learning_rate=fast")
    assert line.startswith("--groups.head.learning_rate:")
    assert '"fast"' in line


# --- what the line holds


@pytest.mark.parametrize(
    ("argv", "end"),
    [
        (["--no-debug=1"], '--no-debug: takes no value, but was given "1"'),
        (["--many"], "--many: expects a value"),
        (["--maybe", "--debug"], "--maybe: expects a value"),
        (["--debug", "stray"], 'unexpected argument "stray"; flags are written --name=value'),
        (["--no-maybe"], "--no-maybe: unknown flag; did you mean --maybe?"),
        (["--man=1"], "--man: unknown flag; did you mean --many?"),
    ],
)
def test_misuse_of_a_flag_is_one_line(argv: list[str], end: str) -> None:
    with pytest.raises(ArgsError) as caught:
        read({"arguments": Values}, argv)
    assert caught.value.lines == [end]


def test_everything_wrong_is_said_at_once(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_BATCH_SIZE", "many")
    lines = errors(preset("epochs: -1\nsede: 3"), "--model.dropout=2", "--activation=rellu", "--what=1", "stray")
    assert len(lines) == 7
    for part in ("sede", "--what", "stray", "LABWRIGHT_BATCH_SIZE: batch_size", "preset.yaml: epochs", "--model.drop"):
        assert any(part in line for line in lines), part


def test_missing_required_flag_is_one_line() -> None:
    """T: a missing required flag was a traceback."""

    class Needy(Args):
        data: Path = Field(description="Data folder.")

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Needy}, [])
    assert caught.value.lines == ["--data is required (Data folder.)"]


def test_deprecated_field_works_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    class Old(Args):
        steps: int = 1
        old_steps: int = Field(default=1, deprecated="use --steps")

    class Holder(Args):
        old: Old = Old(steps=4)

    parse(Holder, ["--old.old_steps=2"], prog="run.py")
    assert capsys.readouterr().err == "run.py: note: --old.old_steps is deprecated: use --steps\n"


def test_own_parser_shares_the_line_and_gets_its_values() -> None:
    own = argparse.ArgumentParser(description="Mine.")
    own.add_argument("task", choices=["train", "plot"])
    own.add_argument("-v", "--verbose", action="count", default=0)
    own.add_argument("--where", default="here")
    for _ in range(2):  # the caller's parser is left as it was
        mine = argparse.Namespace()
        found = parse(Values, ["--maybe=4", "train", "-vv", "--where=there", "--debug"], parser=own, namespace=mine)
        assert (found.maybe, found.debug) == (4, True)
        assert vars(mine) == {"task": "train", "verbose": 2, "where": "there"}


def test_own_parser_is_part_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    own = argparse.ArgumentParser()
    own.add_argument("--where", help="Where to.")
    with pytest.raises(SystemExit) as done:
        parse(Values, ["--help"], parser=own)
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "Where to." in shown
    assert "--bits" in shown


def test_flag_values_are_found_before_anything_is_known() -> None:
    words = ["--config=a", "--x", "--config", "b", "--config", "--", "--config=c"]
    assert flag_values(words, "config") == ["a", "b"]


# --- layers


def test_layers_win_in_their_order_whatever_the_order_on_the_line(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = preset("seed: 1\nepochs: 1\nbatch_size: 1", "1.yaml"), preset("seed: 2\nepochs: 2", "2.json.yaml")
    monkeypatch.setenv("LABWRIGHT_SEED", "3")
    found = lab("--seed=4", one, two)
    assert (found.seed, found.epochs, found.batch_size) == (4, 2, 1)
    assert lab(two, one).epochs == 1
    assert lab(one, two).seed == 3


def test_config_takes_one_file_and_the_next_word_is_not_lost(preset: Any) -> None:
    path = preset("seed: 1").partition("=")[2]
    assert lab("--config", path).seed == 1
    assert 'unexpected argument "other.yaml"' in errors("--config", path, "other.yaml")[0]
    options = reading("--config", path, f"--config={path}").models["options"]
    assert isinstance(options, RunOptions)
    assert options.config == (Path(path), Path(path))


def test_preset_may_speak_of_the_machine_and_the_invocation(preset: Any) -> None:
    found = reading(preset("seed: 5\nnum_workers: 2\nrun_name: mine\njson: true")).models
    assert isinstance(found["machine"], MachineConfig) and found["machine"].num_workers == 2
    assert isinstance(found["options"], RunOptions) and found["options"].run_name == "mine" and found["options"].as_json


def test_file_of_one_schema_may_not_speak_of_another(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("num_workers: 2\nepochs: 3\nnum_worker: 3\n")
    first, second = errors(files=[File(path, "machine")])
    assert "epochs: is none of this file's settings (machine); it goes into a --config file or a flag" in first
    assert "num_worker: unknown key; did you mean num_workers?" in second


def test_file_may_use_dotted_keys_also_for_items(preset: Any) -> None:
    found = lab(preset("optimizer.learning_rate: 0.25\ngroups.head.freeze: true\ngroups.tail.learning_rate: 0.5"))
    assert found.optimizer == AdamArgs(learning_rate=0.25)
    assert found.groups == {"head": Group(freeze=True), "tail": Group(learning_rate=0.5)}


def test_file_may_not_hold_the_flags_that_read_files(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = errors(preset("config: other.yaml"))
    assert "config: can only be given as a flag" in line
    monkeypatch.setenv("LABWRIGHT_PRINT_CONFIG", "1")
    assert errors() == ["LABWRIGHT_PRINT_CONFIG: print_config: can only be given as a flag"]


def test_environment_is_announced_and_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER__LEARNING_RATE", "0.5")
    monkeypatch.setenv("LABWRIGHT_WANDB_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("LABWRIGHT_SEDE", "1")
    notes = reading().notes
    assert "LABWRIGHT_SEDE names no argument and is ignored" in notes
    assert "optimizer.learning_rate=0.5 comes from LABWRIGHT_OPTIMIZER__LEARNING_RATE" in notes
    assert "wandb_api_key=******** comes from LABWRIGHT_WANDB_API_KEY" in notes
    assert "hunter2" not in "".join(notes)


def test_error_in_a_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_OPTIMIZER__LEARNING_RATE", "fast")
    assert errors() == [
        'LABWRIGHT_OPTIMIZER__LEARNING_RATE: optimizer.learning_rate: "fast" is not a number',
    ]


def test_many_problems_are_counted_not_listed(preset: Any) -> None:
    text = "\n".join(f"unknown_key_{number}: 1" for number in range(9_000))
    assert len(errors(preset(text))) <= 21


# --- secrets


class Account(Args):
    user: str = "me"
    token: SecretStr = Field(default=SecretStr("default-secret"), min_length=8)


class Secretive(Args):
    key: SecretStr | None = Field(default=None, min_length=8)
    account: Account = Account()
    accounts: list[Account] = []
    size: int = 1


SECRETS = [
    ["--key=hunter2"],
    ["--key=hunter2", "--size=x"],
    ['--account={"token": "hunter2"}'],
    ['--account={"token": ["hunter2"]}'],
    ['--account={"token": "hunter2"'],
    ["--account=hunter2"],
    ["--account.token=hunter2"],
    ['--accounts=[{"token": "hunter2", "user": 3}]'],
    ["--accounts=hunter2"],
    ["--kye=hunter2"],
    ["--kye", "hunter2"],
    ["--no-key=hunter2"],
]


@pytest.mark.parametrize("argv", SECRETS)
def test_secret_is_in_no_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        parse(Secretive, argv, prog="run.py")
    assert done.value.code == 2
    shown = capsys.readouterr()
    assert "hunter2" not in shown.err + shown.out
    assert "default-secret" not in shown.err


@pytest.mark.parametrize(
    "text", ["key: hunter2", "key: [hunter2", "key: *hunter2", "key: !hunter2 x", "key: {a: hunter2}"]
)
def test_secret_in_a_bad_file_is_in_no_error(text: str, preset: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Secretive, [preset(text)])
    assert "hunter2" not in capsys.readouterr().err


def test_secret_is_not_printed_with_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LW_KEY", "hunter2-hunter2")
    argv = ['--account={"token": "hunter2-hunter2"}', '--accounts=[{"token": "hunter2-hunter2"}]']
    found = read({"arguments": Secretive}, argv, env_prefix="LW_")
    assert "hunter2" not in config_yaml(found) + "".join(found.notes)


# --- printing and reading back


def test_printed_configuration_says_sources(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_EPOCHS", "3")
    shown = config_yaml(reading(preset("batch_size: 8"), "--optimizer=sgd", "--momentum=0.5"))
    assert "epochs: 3  # LABWRIGHT_EPOCHS" in shown
    assert "preset.yaml" in next(line for line in shown.splitlines() if line.startswith("batch_size: 8  # "))
    assert "  kind: sgd  # --optimizer=sgd" in shown
    assert "  momentum: 0.5  # --optimizer.momentum=0.5" in shown
    assert "seed: 0  # default" in shown


def test_printed_configuration_reads_back_equal(preset: Any) -> None:
    first = reading(
        "--optimizer=warmup", "--inner=sgd", "--run_name=a\nb: 'c' # d", "--tags=x,1e-4", "--groups.a.freeze"
    )
    second = reading(preset(config_yaml(first)))
    for name, model in first.models.items():
        assert second.models[name].model_copy(update={"config": ()} if name == "options" else {}) == model


def test_print_config_takes_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert reading("--print_config").print_config
    assert not reading("--print_config=false").print_config
    with pytest.raises(SystemExit) as done:
        parse(Values, ["--print-config", "--bits=4"])
    assert done.value.code == 0
    assert "bits: 4  # --bits=4" in capsys.readouterr().out


def test_first_config_holds_no_undefined_values() -> None:
    """T: the first run wrote config.yaml containing the text `PydanticUndefined`."""
    assert "Undefined" not in config_yaml(reading())


def test_model_validator_is_named_by_its_message() -> None:
    class Ordered(Args):
        low: int = 0
        high: int = 9

        @model_validator(mode="after")
        def _ordered(self) -> "Ordered":
            if self.low > self.high:
                raise ValueError("low must not exceed high")
            return self

    with pytest.raises(ArgsError) as caught:
        read({"arguments": Ordered}, ["--low=10"])
    assert caught.value.lines == ["low must not exceed high"]


def test_value_given_dotted_and_nested_in_one_file_is_refused(tmp_path: Path) -> None:
    """One of the two was taken and nothing said."""

    class Twice(Args):
        model: MLPArgs = MLPArgs()

    path = tmp_path / "twice.yaml"
    path.write_text("model.hidden_sizes: [3]\nmodel:\n  hidden_sizes: [4]\n")
    with pytest.raises(ArgsError, match="model.hidden_sizes: is given twice in this file"):
        read({"arguments": Twice}, [f"--config={path}"])
