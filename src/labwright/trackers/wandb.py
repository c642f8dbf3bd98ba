"""Weights & Biases."""

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from labwright.args import UserError

from .base import RunInfo, Status, Tracker, flatten, in_one_line, require_package

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]
EXIT_CODES: dict[Status, int] = {"finished": 0, "failed": 1, "interrupted": 130}


class WandbTracker(Tracker):
    """Records a run in W&B: online if a key is found and the server answers, else offline, in the run directory.

    `mode` is WANDB_MODE unless given, else online. The key is `api_key`, else whatever `wandb login` left. Nothing is
    ever asked on the terminal, and of the program only the run's config is sent: no code, git state or command line.
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
            self.run = self._init(run, "offline")
            self.warn(f"W&B records offline ({in_one_line(error)}); {self._how_to_upload()}")
        self.run.define_metric("epoch", hidden=True)
        self.run.define_metric("step", hidden=True)

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        named = {f"step/{name}": value for name, value in values.items()}
        self._draw_over("step", named)
        self.run.log({"step": step, **named})

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self._draw_over("epoch", metrics)
        self.run.log({"epoch": epoch, "step": step, **metrics})

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
                project=self.project,
                entity=self.entity,
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
        return f"upload later with: wandb sync {shlex.quote(str(Path(self.run.dir).parent))}"


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
