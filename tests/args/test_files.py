"""Files of values: what they may say, and that none of them can hurt."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.args.files import MAX_BYTES, load_file, yaml_entry, yaml_text
from labwright.args.json_text import MAX_DEPTH


def write(folder: Path, content: str | bytes, name: str = "file.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_yaml_is_read_by_the_rules_people_expect(tmp_path: Path) -> None:
    text = "a: 1e-4\nb: no\nc: on\nd: 2024-01-01\ne: 0o17\nf: 1_000\ng: .inf\nh: ~\ni: [1, 'x']\nj: '007'\nk: 010\n"
    assert load_file(write(tmp_path, text)) == {
        "a": 1e-4,
        "b": "no",
        "c": "on",
        "d": "2024-01-01",
        "e": 15,
        "f": "1_000",
        "g": float("inf"),
        "h": None,
        "i": [1, "x"],
        "j": "007",
        "k": 10,
    }


@pytest.mark.parametrize(("content", "name"), [("", "a.yaml"), ("# nothing\n", "a.yaml"), (" ", "a.json")])
def test_empty_file_says_nothing(tmp_path: Path, content: str, name: str) -> None:
    assert load_file(write(tmp_path, content, name)) == {}


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert load_file(write(tmp_path, b"\xef\xbb\xbfa: 1")) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "end"),
    [
        ("a: 1\na: 2", 'the key "a" occurs twice (line 2)'),
        ("a: [1", "is not valid YAML: did not find expected ',' or ']' (line 2)"),
        ("- 1", "must hold `key: value` pairs at its top"),
        ("1: 2", "must hold `key: value` pairs at its top"),
        ("? [1]\n: 2", "a key must be a plain value (line 1)"),
        ("a: &x [*x]", "an alias contains itself"),
        ("a: !!int x", "is no integer, though marked as one (line 1)"),
        ("a: !!float x", "is no number, though marked as one (line 1)"),
        ("a: !!map x", "is not a mapping, though marked as one (line 1)"),
        ("a: 1\n---\nb: 1", "is not valid YAML: but found another document (line 2)"),
        (b"\xff\xfe\xfa", "is not UTF-8 text"),
        (b"a: \x00", "is not valid YAML: it holds a character that YAML does not allow"),
    ],
)
def test_bad_file_is_refused_in_one_line(tmp_path: Path, content: str | bytes, end: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError) as caught:
        load_file(path)
    assert str(caught.value) == f"{path}: {end}"


def test_merge_key_is_a_key_like_any_other(tmp_path: Path) -> None:
    assert load_file(write(tmp_path, "a: &x {b: 1}\nc: {<<: *x}")) == {"a": {"b": 1}, "c": {"<<": {"b": 1}}}


@pytest.mark.parametrize("tag", ["object/apply:os.system", "object/new:os.system", "name:os.system", "tuple"])
def test_python_tag_is_named_and_not_executed(tmp_path: Path, tag: str) -> None:
    mark = tmp_path / "executed"
    with pytest.raises(UserError, match=r"could not determine a constructor for the tag !!python/") as caught:
        load_file(write(tmp_path, f"a: !!python/{tag} ['touch {mark}']"))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_missing_file_folder_and_duplicate_json_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_file(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is a folder, not a file"):
        load_file(tmp_path)
    with pytest.raises(UserError, match='has the key "a" twice'):
        load_file(write(tmp_path, '{"a": 1, "a": 2}', "a.json"))


def test_aliases_count_towards_the_depth(tmp_path: Path) -> None:
    def chain(lists: int) -> str:
        return "a1: &a1 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(2, lists + 1))

    assert load_file(write(tmp_path, chain(MAX_DEPTH - 1)))["a2"] == [[1]]
    with pytest.raises(UserError, match="is nested too deeply"):
        load_file(write(tmp_path, chain(MAX_DEPTH)))


def billion_laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return "\n".join(lines)


BOMBS: dict[str, tuple[str, str]] = {
    "billion_laughs.yaml": (billion_laughs(), "its aliases stand for more than 20,000 values"),
    "mapping_laughs.yaml": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, 40)),
        "its aliases stand for more than 20,000 values",
    ),
    "many_aliases.yaml": (
        "a: &a [" + "1, " * 9_000 + "1]\nb: [" + "*a, " * 9_000 + "*a]",
        "its aliases stand for more than 20,000 values",
    ),
    "deep_list.yaml": ("a: " + "[" * 10_000 + "]" * 10_000, "is nested too deeply"),
    "deep_block.yaml": ("\n".join(" " * depth + "a:" for depth in range(1_000)), "is nested too deeply"),
    "deep_open.yaml": ("a: " + "{a: " * 10_000, "is nested too deeply"),
    "deep_chain.yaml": (
        "a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 2_000)),
        "is nested too deeply",
    ),
    "deep.json": ('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}", "is nested too deeply"),
    "shallow_deep.json": ('{"a": ' + "[" * 400 + "]" * 400 + "}", "is nested too deeply"),
    "wide.json": ('{"a": [' + "1," * 400_000 + "1]}", "holds more than 20,000 values"),
    "wide.yaml": ("a: [" + "1," * 400_000 + "1]", "holds more than 20,000 values"),
    "keys.yaml": ("\n".join(f"k{n}: 1" for n in range(100_000)), "holds more than 20,000 values"),
    "digits.json": ('{"a": ' + "9" * 900_000 + "}", "holds a number of more than 4,000 digits"),
    "digits.yaml": ("a: " + "9" * 900_000, "holds a number of more than 4,000 digits"),
    "hex.yaml": ("a: 0x" + "f" * 900_000, "holds a number of more than 4,000 digits"),
    "large.yaml": ("a: '" + "x" * 5_000_000 + "'", f"is larger than {MAX_BYTES:,} bytes"),
    "large.json": ('{"a": "' + "x" * 5_000_000 + '"}', f"is larger than {MAX_BYTES:,} bytes"),
    "self.yaml": ("a: &a {b: *a}", "an alias contains itself"),
    "typos.yaml": ("\n".join(f"key_{n}: 1" for n in range(9_000)), "and "),
    "wrong.yaml": ("sizes: [" + "x, " * 9_000 + "x]", "and "),
    "long_key.json": (json.dumps({"s" * 100_000: 1}), "unknown key"),
    "object.yaml": ("a: !!python/object/apply:os.system ['exit 3']", "!!python/object/apply:os.system"),
}
SCRIPT = """
import resource, sys
from labwright.args import Args, parse
class Plain(Args):
    sizes: list[int] = []
    seed: int = 0
import yaml, json, difflib, labwright.args.yaml12
parse(Plain, [])
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    parse(Plain, ["--config=" + sys.argv[1]], prog="run.py")
except SystemExit as done:
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(done.code, seconds, (after.ru_maxrss - before.ru_maxrss) / 1024)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_within_bounds(tmp_path: Path, name: str) -> None:
    """One file never makes the process use more than 100 MB or 2 s."""
    text, end = BOMBS[name]
    path = write(tmp_path, text, name)

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

    done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, preexec_fn=limits)
    assert done.returncode == 0, done.stderr[-2_000:]
    code, seconds, megabytes = done.stdout.split()
    assert code == "2"
    assert float(seconds) < 2
    assert float(megabytes) < 100
    assert end in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 25
    assert len(done.stderr) < 10_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=80), st.text(alphabet="ab:-[]{}&*!|>'\"#%,? \n\t01.e<", max_size=60)))
def test_arbitrary_bytes_raise_user_errors_only(tmp_path: Path, content: str | bytes) -> None:
    for name in ("file.yaml", "file.json"):
        try:
            loaded = load_file(write(tmp_path, content, name))
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(loaded, dict)


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
nested = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=nested, key=st.from_regex(r"[a-z_]{1,20}", fullmatch=True))
def test_entry_reads_back_equal_and_stays_on_one_line(tmp_path: Path, key: str, value: Any) -> None:
    entry = yaml_entry(key, value)
    assert len(entry.splitlines()) == 1
    assert load_file(write(tmp_path, entry + "  # where it comes from")) == {key: value}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.text(), nested, max_size=4))
@example({"rate": "1e-4", "tiny": 1e-07, "huge": 1e22, "norway": "no", "octal": "0o17", "date": "2026-01-31", "x": ""})
@example({"name": "größe\n\x85\u2028: #", "underscored": "1_000", "sexagesimal": "1:30", "inf": float("-inf")})
def test_values_over_several_lines_read_back_equal_by_yaml_1_1_and_1_2(tmp_path: Path, values: dict[str, Any]) -> None:
    text = yaml_text(values)
    assert yaml.safe_load(text) == values
    assert load_file(write(tmp_path, text)) == values


def test_values_over_several_lines_look_like_a_preset_that_someone_wrote() -> None:
    sizes = [64, 32]
    values = {
        "experiment_id": "mnist",
        "model": {"kind": "mlp", "hidden_sizes": sizes, "groups": {}},
        "optimizer": {"learning_rate": 1e-5, "betas": sizes, "name": "größe", "scale": "1e-5"},
        "stages": [{"width": 8}, sizes],
    }
    assert (
        yaml_text(values)
        == """\
experiment_id: mnist
model:
  kind: mlp
  hidden_sizes: [64, 32]
  groups: {}
optimizer:
  learning_rate: 1.0e-05
  betas: [64, 32]
  name: größe
  scale: '1e-5'
stages:
- width: 8
- [64, 32]
"""
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=nested)
def test_json_files_read_as_json(tmp_path: Path, value: Any) -> None:
    assert load_file(write(tmp_path, json.dumps({"a": value}), "file.json")) == {"a": value}
