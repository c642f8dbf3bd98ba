"""torch.compile: refused in a line where it cannot work, and what it compiles where it does."""

from typing import Any

import pytest
import torch
from torch import nn

from labwright.args import UserError
from labwright.train import compiling
from labwright.train.compiling import compile_in_place, compiled, is_of_compiler, reason, require_compiler

CPU = torch.device("cpu")


class Failed(RuntimeError):
    """As torch has it: the error of a backend, with that error's own text in it."""

    __module__ = "torch._dynamo.exc"

    def __init__(self, inner: Exception) -> None:
        super().__init__(
            f"backend='inductor' raised:\n{type(inner).__name__}: {inner}\n\nSet TORCHDYNAMO_VERBOSE=1 ..."
        )
        self.inner_exception = inner


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "some-c++")
    with pytest.raises(UserError, match=r"needs the C\+\+ compiler some-c\+\+.*CXX.*leave --compile out"):
        require_compiler(CPU)


def test_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package triton on cuda"):
        require_compiler(torch.device("cuda"))


def test_compiler_that_fails_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise Failed(OSError("Python.h: no such file\nand much more"))

    monkeypatch.setattr(compiling, "_missing_compiler", lambda device: None)
    monkeypatch.setattr(compiling, "compiled", lambda function: fail)
    with pytest.raises(UserError) as caught:
        require_compiler(CPU)
    assert str(caught.value) == "--compile does not work on cpu here: Python.h: no such file; leave --compile out"


def test_errors_of_the_compiler_are_told_from_those_of_the_code() -> None:
    assert is_of_compiler(Failed(ValueError("x"))) and not is_of_compiler(ValueError("x"))
    assert is_of_compiler(RuntimeError("torch.compile with aot_autograd does not currently support double backward"))
    assert reason(ValueError()) == "ValueError" and reason(Failed(ValueError("a\nb"))) == "a"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, when it begins to compile
def test_each_shape_is_compiled_once_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    require_compiler(CPU)
    from torch._dynamo.utils import counters

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    names = [*model.state_dict()]
    samples = torch.randn(10, 3)
    expected = [model(part).square().mean() for part in samples.split(4)]
    compile_in_place(model)
    loss = compiled(lambda x: model(x).square().mean())
    before = counters["stats"]["unique_graphs"]
    for _ in range(3):  # parts of a larger tensor, as a loader gives them, of sizes 4, 4 and 2
        for part, same in zip(samples.split(4), expected, strict=True):
            found = loss(part)
            found.backward()
            torch.testing.assert_close(found, same)
    assert counters["stats"]["unique_graphs"] - before == 2
    assert [*model.state_dict()] == names
