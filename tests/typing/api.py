"""For the type checker only: what a run from Python gives back."""

from typing import assert_type

from labwright import RunResult, run

assert_type(run("digits", {"model.hidden_sizes": [64]}), RunResult)
assert_type(run("digits").test["accuracy"], float)
