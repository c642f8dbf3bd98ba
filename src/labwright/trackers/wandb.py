"""Weights & Biases."""

import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from labwright.args import UserError
from labwright.runs import strict_json

from .base import RunInfo, Status, Tracker, flatten, in_one_line, require_package

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]
EXIT_CODES: dict[Status, int] = {"finished": 0, "failed": 1, "interrupted": 130}


class _Logged(NamedTuple):
    """How far a W&B run has come."""

    step: int = -1
    epoch: int = -1
    names: frozenset[str] = frozenset()

    def and_also(self, values: Mapping[str, Any]) -> "_Logged":
        """After these values, which W&B's summary has too."""
        step, epoch = max(self.step, values.get("step", -1)), max(self.epoch, values.get("epoch", -1))
        return _Logged(step, epoch, self.names | values.keys())


class WandbTracker(Tracker):
    """Records a run in W&B: online if a key is found and the server answers, else offline, in the run directory.

    `mode` is WANDB_MODE unless given, else online. The key is `api_key`, else whatever `wandb login` left. Nothing is
    ever asked on the terminal, and of the program only the run's config is sent: no code, git state or command line.

    A resumed run continues its W&B run, and what W&B has of it already is not sent again. Offline, each part is a
    folder of its own; `wandb sync` makes one run of them.
    """

    name = "W&B"
    run: "wandb.Run"
    """The live W&B run, for anything else you want to log there."""

    def __init__(
        self,
        *,
        project: str | None = None,
        entity: str | None = None,
        api_key: str | None = None,
        mode: Mode | None = None,
        warn: Callable[[str], None] | None = None,
        init_timeout_seconds: float = 30,
        finish_timeout_seconds: float = 60,
    ) -> None:
        require_package("wandb", "pip install wandb")
        self.project = project
        self.entity = entity
        self.mode = mode or os.environ.get("WANDB_MODE") or "online"
        self.warn = warn or _warn_on_stderr
        self.init_timeout_seconds = init_timeout_seconds
        self.finish_timeout_seconds = finish_timeout_seconds
        self._api_key = api_key
        self._defined: set[str] = set()
        self._before = self._logged = _Logged()
        if self.mode not in get_args(Mode):
            raise UserError(f"WANDB_MODE: {self.mode!r} is not a mode of W&B; choose from {', '.join(get_args(Mode))}")

    def start(self, run: RunInfo) -> None:
        # W&B reports its own errors to its makers, also of offline runs, and waits for them at exit.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._run_dir = run.run_dir
        try:
            self.run = self._init(run, self.mode)
        except wandb.Error as error:  # no key, a refused one, or no answer
            if self.mode != "online":
                raise
            if run.resumed and "deleted" in str(error):  # its id cannot be used again, offline neither
                self.warn(f"W&B cannot continue its run ({in_one_line(error)}) and begins a new one")
                return self.start(replace(run, resumed=None))
            self.run = self._init(run, "offline")
            self.warn(f"W&B records offline ({in_one_line(error)}); {self._how_to_upload()}")
        self._log_path = run.run_dir / "wandb" / f"logged-{self.run.id}.json"
        self._before = self._logged = self._logged_before() if run.resumed else _Logged()
        self.run.define_metric("epoch", hidden=True)
        self.run.define_metric("step", hidden=True)

    def state(self) -> dict[str, Any]:
        """The W&B run, to continue it."""
        if self.run.disabled:
            return {}
        return {"id": self.run.id, "project": self.run.project, "entity": self.run.entity or None}

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self._before.step:
            return
        named = {f"step/{name}": value for name, value in values.items()}
        self._draw_over("step", named)
        self._log({"step": step, **named})

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        if epoch <= self._before.epoch and self._before.names.issuperset(metrics):
            return
        self._draw_over("epoch", metrics)
        self._log({"epoch": epoch, "step": step, **metrics})

    def _log(self, values: Mapping[str, float]) -> None:
        self.run.log({**values})
        if not self.run.disabled:
            self._logged = self._logged.and_also(values)
            self._log_path.write_bytes(strict_json({**self._logged._asdict(), "names": sorted(self._logged.names)}))

    def _logged_before(self) -> "_Logged":
        """What W&B has of the run: by its server, or where there is none by what was handed to it."""
        if self.run.resumed:
            return _Logged().and_also(dict(self.run.summary))
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            values = json.loads(self._log_path.read_bytes())
            return _Logged(values["step"], values["epoch"], frozenset(values["names"]))
        return _Logged()

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        import wandb

        try:
            with _quiet_and_kept_in(self._run_dir):
                try:
                    self.run.summary.update(flatten(summary, "/"))
                    self._log_plots(plots)
                finally:
                    self._close(EXIT_CODES[status])
        except (wandb.Error, TimeoutError) as error:  # the server is gone
            self.warn(f"W&B did not take everything ({in_one_line(error)}); {self._how_to_upload()}")

    def _init(self, run: RunInfo, mode: str) -> "wandb.Run":
        import wandb

        settings: dict[str, Any] = {
            "mode": mode,
            "api_key": self._api_key,
            "init_timeout": self.init_timeout_seconds,
            "finish_timeout": self.finish_timeout_seconds,
            "finish_timeout_raises": True,
            "reinit": "create_new",  # an experiment may run another one, and the caller may have a run of their own
            "silent": True,
            "console": "off",
            "symlink": False,
            "save_code": False,
            "disable_code": True,
            "disable_git": True,
            "x_disable_meta": True,
            "x_disable_stats": True,
            "x_save_requirements": False,
        }
        known = wandb.Settings.model_fields
        with _quiet_and_kept_in(run.run_dir):
            return wandb.init(
                id=run.resumed["id"] if run.resumed else None,
                resume="allow" if run.resumed else None,
                project=run.resumed["project"] if run.resumed else self.project,
                entity=run.resumed["entity"] if run.resumed else self.entity,
                name=run.display_name,
                group=run.experiment_id,
                tags=list(dict.fromkeys(run.tags)),
                config=run.config,
                dir=run.run_dir,
                settings=wandb.Settings(**{name: value for name, value in settings.items() if name in known}),
            )

    def _draw_over(self, axis: str, names: Iterable[str]) -> None:
        """Make `axis` the x axis of these metrics' charts; metrics of one split share a definition."""
        for pattern in {f"{name.split('/')[0]}/*" if "/" in name else name for name in names} - self._defined:
            self.run.define_metric(pattern, step_metric=axis)
            self._defined.add(pattern)

    def _log_plots(self, plots: Sequence[Path]) -> None:
        import wandb

        if not plots:
            return
        self.run.log({f"plots/{plot.stem}": wandb.Image(str(plot)) for plot in plots})
        artifact = wandb.Artifact(f"plots-{self.run.id}", type="plot")
        for plot in plots:
            artifact.add_file(str(plot))
        self.run.log_artifact(artifact)

    def _close(self, exit_code: int) -> None:
        """End the W&B run, and its service process unless another run of this process still needs it."""
        import wandb
        from wandb.sdk import wandb_setup

        try:
            self.run.finish(exit_code=exit_code)
        finally:
            if wandb_setup.singleton().most_recent_active_run is None:
                with contextlib.suppress(SystemExit):
                    wandb.teardown()

    def _how_to_upload(self) -> str:
        here = Path(self.run.dir).parent
        # Parts that went online need no help, but this one may be of those, and sync passes over them.
        parts = sorted({here, *here.parent.glob(f"offline-run-*-{self.run.id}*")})
        flag = "" if here.name.startswith("offline") else " --include-online"
        return f"upload later with: wandb sync{flag} {shlex.join(map(str, parts))}"


def _warn_on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


@contextlib.contextmanager
def _quiet_and_kept_in(run_dir: Path) -> Iterator[None]:
    """W&B says and asks nothing, and its caches are in the run directory unless the user said where they belong."""
    places = {"WANDB_CACHE_DIR": run_dir / "wandb" / "cache", "WANDB_DATA_DIR": run_dir / "wandb"}
    set_here = {name: str(place) for name, place in places.items() if name not in os.environ}
    os.environ.update(set_here)
    try:
        # It asks for a key only where stderr is a terminal, and prints some lines whatever its setting `silent`.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for name in set_here:
            del os.environ[name]
