"""Named values that an experiment keeps with its run: written as they come, or only collected."""

import io
import re
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError

from .durable import JsonlWriter, strict_json, write_durably

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

    @property
    def are_kept(self) -> bool:
        """Whether they are those of a run."""
        return self._folder is not None

    def keep_in(self, run_path: Path) -> None:
        """From now on, and for what was collected already, files in the run directory."""
        self._folder = run_path / FOLDER
        for name, value in self.values.items():
            self._write(name, *_encoded(value))
        for name, rows in self.rows.items():
            for row in rows:
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
            self._folder.mkdir(exist_ok=True)
            write_durably(self._folder / f"{name}{suffix}", data)
            for other in _SUFFIXES:
                if other != suffix:
                    (self._folder / f"{name}{other}").unlink(missing_ok=True)

    def _write_row(self, name: str, value: Any) -> None:
        row: dict[str, Any] = value if isinstance(value, dict) else {"value": value}  # pyright: ignore[reportUnknownVariableType]
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)
            with JsonlWriter(self._folder / f"{name}.jsonl") as writer:
                writer.append(row)


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


def _npy(value: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()
