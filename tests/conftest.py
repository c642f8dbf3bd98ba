"""What every test starts from: nobody's settings, no network, and a command line in a folder of its own."""

import contextlib
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ("tests.points",)
RUN_PY = Path(__file__).parents[1] / "run.py"

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and as tests of Ctrl-C must not
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; pytest-xdist fills the cores

# The same code gets the same verdict; `make test-long` looks further, with --hypothesis-profile=wide.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("wide", deadline=None, max_examples=1000)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings and keys of their own."""
    for name in list(os.environ):
        if name.startswith(("LABWRIGHT_", "WANDB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MPLBACKEND", "agg")
    # Runs of tests keep no code in this repository; tests of that have repositories of their own, and want snapshots.
    for name, value in (("COUNT", "1"), ("KEY_0", "labwright.snapshot"), ("VALUE_0", "false")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)


@pytest.fixture
def with_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repositories are as they are: runs keep their code there."""
    monkeypatch.delenv("GIT_CONFIG_COUNT")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names beyond this machine do not resolve, as on a machine without a network."""
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("localhost", "127.0.0.1", "::1", None, ""):
            raise socket.gaierror(socket.EAI_NONAME, "no network in tests")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)


@dataclass(frozen=True)
class Ended:
    """How a command line ended, and what it said."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def runs(self) -> list[Path]:
        """The run directories in the folder, oldest first."""
        found = [path.parent for path in self.folder.glob("results/**/log.txt")]
        return sorted(found, key=lambda path: path.stat().st_ctime_ns)

    @property
    def run(self) -> Path:
        """The newest run directory."""
        assert self.code == 0, self.err
        return self.runs[-1]

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.runs[-1] / "run.json").read_bytes())

    @property
    def test(self) -> dict[str, float]:
        """The test metrics."""
        return self.record["result"]["test"]

    @property
    def error(self) -> str:
        """The one line about what was wrong with the input."""
        assert self.code == 2, (self.code, self.err)
        [line] = [line for line in self.err.splitlines() if ": error: " in line]
        assert "Traceback" not in self.err
        return line.partition(": error: ")[2]


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`run.py WORDS` within this process, in `tmp_path`; `experiments` and `machine` are handed to `main`."""
    from labwright.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(RUN_PY)])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as a script has it, and `-m pytest` has not

    def run(*words: str, experiments: Any = None, **options: Any) -> Ended:
        if experiments is None:
            from lab.registry import EXPERIMENTS as experiments
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(experiments, argv=words, **options)
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, out.getvalue(), err.getvalue(), tmp_path)

    return run


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that draw nothing, for tests that look at something else: drawing takes most of a tiny run's time."""

    def leave_out(*args: Any, **kwargs: Any) -> list[Path]:
        return []

    monkeypatch.setattr("labwright.session.recorder.plot_history", leave_out)
    monkeypatch.setattr("labwright.experiment.Experiment.plot", leave_out)


@pytest.fixture
def tree() -> Callable[[Path], Mapping[str, bytes]]:
    """Every file below a folder with its content."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
