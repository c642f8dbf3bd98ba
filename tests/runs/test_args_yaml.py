import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labwright.runs.args_yaml import args_yaml
from labwright.runs.directory import RunDirectory

numbers = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(), json_values, max_size=4))
@example({"rate": "1e-4", "tiny": 1e-07, "huge": 1e22, "norway": "no", "octal": "0o17", "date": "2026-01-31", "x": ""})
@example({"name": "größe\n\x85\u2028: #", "underscored": "1_000", "sexagesimal": "1:30", "inf": float("-inf")})
def test_arguments_come_back_as_they_were(args: dict[str, object]) -> None:
    assert yaml.safe_load(args_yaml(args)) == args
    with tempfile.TemporaryDirectory() as directory:
        run = RunDirectory(Path(directory))
        run.write_args(args)
        assert run.args() == args


def test_the_file_looks_like_a_preset_that_someone_wrote() -> None:
    sizes = [64, 32]
    args = {
        "experiment_id": "mnist",
        "model": {"kind": "mlp", "hidden_sizes": sizes, "groups": {}},
        "optimizer": {"learning_rate": 1e-5, "betas": sizes, "name": "größe", "scale": "1e-5"},
    }
    assert (
        args_yaml(args)
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
"""
    )
