"""Named values that an experiment keeps with its run: written as they come, or only collected."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError

from .durable import JsonlWriter, cut_rows, make_directory, remove_file, strict_json, sync_file, write_durably

FOLDER = "artifacts"
_SUFFIXES = (".json", ".npy", ".txt")


class Artifacts:
    """`store` keeps one value under a name, `append` a row more of a list.

    Without a run directory both only collect, in `values` and `rows`. With one, JSON values are written to
    `artifacts/<name>.json`, arrays and tensors to `<name>.npy`, texts to `<name>.txt`, rows to `<name>.jsonl`. An array
    within a JSON value or a row is a list of numbers there, and one of no dimension a number. What is collected is a
    copy: it stays what it was when it was given.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.rows: dict[str, list[Any]] = {}
        self._folder: Path | None = None
        self._begun: set[str] = set()
        self._unsynced: set[str] = set()

    @property
    def are_kept(self) -> bool:
        """Whether they are those of a run."""
        return self._folder is not None

    def keep_in(self, run_path: Path) -> None:
        """From now on, and for what was collected already, files in the run directory; once is enough."""
        if self._folder != run_path / FOLDER:
            self._folder = run_path / FOLDER
            self._write_all(self.values, self.rows)

    def counts(self) -> dict[str, int]:
        """How many rows each list has, for a checkpoint."""
        return {name: len(rows) for name, rows in self.rows.items()}

    def sync(self) -> None:
        """Make all rows so far durable; while it does, a thread may append more."""
        while self._unsynced:
            sync_file(self._rows_path(self._unsynced.pop()))

    def restore(self, run_path: Path, counts: Mapping[str, int]) -> None:
        """Go on with what a run kept, as `keep_in` would without: its values, and the first `counts` rows of each list.

        What was collected before is kept where the run has nothing of that name. NaN in a row comes back as null.

        Raises:
            UserError: a file is damaged.
        """
        self._folder = run_path / FOLDER
        values, rows = self.values, self.rows
        files = [path for path in self._folder.glob("[!.]*") if path.suffix in _SUFFIXES]
        files.sort(key=lambda path: path.stat().st_mtime_ns)  # of two kinds, one was about to be deleted: the older
        self.values = {path.stem: _decoded(path) for path in files}
        self.rows = {name: self._restored_rows(name, count) for name, count in counts.items()}
        values = {name: value for name, value in values.items() if name not in self.values}
        rows = {name: of_name for name, of_name in rows.items() if name not in self.rows}
        self._write_all(values, rows)
        self.values |= values
        self.rows |= rows

    def _restored_rows(self, name: str, count: int) -> list[Any]:
        _check_name(name)
        self._begun.add(name)
        return [row["value"] if row.keys() == {"value"} else row for row in cut_rows(self._rows_path(name), count)]

    def _write_all(self, values: Mapping[str, Any], rows: Mapping[str, list[Any]]) -> None:
        for name, value in values.items():
            self._write(name, *_encoded(value))
        for name, of_name in rows.items():
            for row in of_name:
                self._write_row(name, row)

    def store(self, name: str, value: Any) -> None:
        """Keep `value`, instead of what had this name before.

        Raises:
            UserError: it is neither JSON, nor an array, nor a text; nothing is kept then.
        """
        _check_name(name)
        try:
            value = _copied(value)
            suffix, data = _encoded(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"artifact {name!r} is neither JSON, nor an array, nor a text: {error}") from None
        self._write(name, suffix, data)
        self.values[name] = value

    def append(self, name: str, value: Any) -> None:
        """Keep `value` as one more row of `name`.

        Raises:
            UserError: it is not JSON; nothing is kept then.
        """
        _check_name(name)
        try:
            value = _listed(value)
            strict_json(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"a row of artifact {name!r} is not JSON: {error}") from None
        self._write_row(name, value)
        self.rows.setdefault(name, []).append(value)

    def _write(self, name: str, suffix: str, data: bytes) -> None:
        if self._folder is not None:
            make_directory(self._folder)
            write_durably(self._folder / f"{name}{suffix}", data)
            for other in _SUFFIXES:
                if other != suffix:
                    remove_file(self._folder / f"{name}{other}")

    def _write_row(self, name: str, value: Any) -> None:
        row: dict[str, Any] = value if isinstance(value, dict) else {"value": value}  # pyright: ignore[reportUnknownVariableType]
        if self._folder is not None:
            path = self._rows_path(name)
            make_directory(self._folder)
            if name not in self._begun:  # what is there was written after the checkpoint that the run went on from
                cut_rows(path, 0)
                self._begun.add(name)
            with JsonlWriter(path) as writer:
                writer.append(row)
            self._unsynced.add(name)

    def _rows_path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.jsonl"


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"an artifact is called {name!r}; its name names a file: letters, digits, _, . and - only")


def _copied(value: Any) -> Any:
    """An array or tensor of any framework as an array of its own, all else as JSON has it."""
    if hasattr(value, "__array__"):
        array = _array(value)
        return array.copy() if array.ndim else array.item()
    return _listed(value)


def _listed(value: Any) -> Any:
    """Dicts and lists anew, arrays and tensors in them as lists or numbers; all else as it is."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return _array(value).tolist() if hasattr(value, "__array__") else value


def _array(value: Any) -> Any:
    """As NumPy has it; where NumPy has no number format as short as that, as single precision."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value
    array = np.asarray(value)
    # The short formats that JAX brings along are no kind of number to NumPy, which could not load them again.
    return array.astype(np.float32) if array.dtype.kind == "V" and array.dtype.names is None else array


def _encoded(value: Any) -> tuple[str, bytes]:
    """The suffix that tells the kind of a copied value, and its file's content."""
    if isinstance(value, str):
        return ".txt", value.encode()
    if hasattr(value, "__array__"):
        return ".npy", _npy(value)
    return ".json", strict_json(value, indent=2) + b"\n"


def _decoded(path: Path) -> Any:
    """The value in a file that `_encoded` gave."""
    try:
        if path.suffix == ".txt":
            return path.read_bytes().decode()
        if path.suffix == ".json":
            return json.loads(path.read_bytes())
        import numpy as np

        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, or no artifact: {error}; remove it to go on without") from error


def _npy(value: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()
