"""Named values that an experiment keeps with its run: written as they come, or only collected."""

import io
import re
from pathlib import Path
from typing import Any, cast

from labwright.args.errors import UserError

from .durable import JsonlWriter, strict_json, write_durably

FOLDER = "artifacts"


class Artifacts:
    """`store` keeps one value under a name, `append` a row more of a list.

    Without a run directory both only collect, in `values` and `rows`. With one, JSON values are written to
    `artifacts/<name>.json`, arrays and tensors to `<name>.npy`, texts to `<name>.txt`, rows to `<name>.jsonl`.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.rows: dict[str, list[Any]] = {}
        self._folder: Path | None = None

    @property
    def are_kept(self) -> bool:
        """Whether they are those of a run."""
        return self._folder is not None

    def keep_in(self, run_path: Path) -> None:
        """From now on, and for what was collected already, files in the run directory."""
        self._folder = run_path / FOLDER
        for name, value in self.values.items():
            self._write(name, value)
        for name, rows in self.rows.items():
            for row in rows:
                self._write_row(name, row)

    def store(self, name: str, value: Any) -> None:
        """Keep `value`, instead of what had this name before."""
        _check_name(name)
        value = _plain(value)
        self._write(name, value)
        self.values[name] = value

    def append(self, name: str, value: Any) -> None:
        """Keep `value` as one more row of `name`."""
        _check_name(name)
        value = _plain(value)
        self._write_row(name, value)
        self.rows.setdefault(name, []).append(value)

    def _write(self, name: str, value: Any) -> None:
        if self._folder is not None:
            suffix, data = _encoded(name, value)
            self._folder.mkdir(exist_ok=True)
            write_durably(self._folder / f"{name}{suffix}", data)

    def _write_row(self, name: str, value: Any) -> None:
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)
            with JsonlWriter(self._folder / f"{name}.jsonl") as writer:
                writer.append(cast(dict[str, Any], value) if isinstance(value, dict) else {"value": _listed(value)})


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"an artifact is called {name!r}; its name names a file: letters, digits, _, . and - only")


def _plain(value: Any) -> Any:
    """Arrays and tensors of any framework as arrays of their own, for the one in use may change; all else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if not hasattr(value, "__array__"):
        return value
    import numpy as np

    return np.asarray(value).copy()


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _encoded(name: str, value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return ".txt", value.encode()
    try:
        if hasattr(value, "__array__"):
            return ".npy", _npy(value)
        return ".json", strict_json(value, indent=2) + b"\n"
    except (TypeError, ValueError) as error:
        raise UserError(f"artifact {name!r} is neither JSON, nor an array, nor a text: {error}") from None


def _npy(value: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()
