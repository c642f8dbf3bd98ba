"""`labwright new DIR`: a lab of the user's own, in the shape that this repository's `src/lab` has."""

import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from labwright.args.errors import UserError
from labwright.args.machine import example_yaml

TEMPLATE = Path(__file__).parent / "templates" / "lab"
TEMPLATE_NAME = "mylab"
"""The project's name in the template."""


def write_lab(folder: Path) -> str:
    """Write a lab into `folder`, new or empty, whole or not at all; what to tell the user.

    Raises:
        UserError: `folder` holds something, is no folder, or cannot be written.
    """
    target = folder.expanduser().resolve()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"new: {folder} exists and is not an empty folder; name another")
        _write_whole(target)
    except OSError as error:
        raise UserError(f"new: {folder} cannot be written ({error.strerror or error})") from None
    return f"""wrote {folder}: run.py, a registry, an experiment with its own model and dataset, and a test; next:

  cd {shlex.quote(str(folder))}
  python run.py --experiment_id=spirals
  python -m pytest"""


def project_name(folder: Path) -> str:
    """A valid name for the project in `folder`, near the folder's own."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    return TEMPLATE_NAME if name in ("", "labwright") else name


def _write_whole(target: Path) -> None:
    """Write beside `target` and rename, so that half a lab never stands there."""
    is_there = target.is_dir()
    nearby = target if is_there else target.parent
    nearby.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".labwright-new-", dir=nearby) as scratch:
        draft = Path(scratch) / "lab"
        _write_files(draft, project_name(target))
        if not is_there:
            draft.rename(target)
            return
        for entry in draft.iterdir():  # an empty folder is kept: it may be where the user's shell stands
            entry.rename(target / entry.name)


def _write_files(folder: Path, name: str) -> None:
    for source in sorted(TEMPLATE.rglob("*")):
        place = source.relative_to(TEMPLATE)
        is_cache = any(part.startswith((".", "__pycache__")) for part in place.parts[:-1])  # of installers and linters
        if is_cache or not source.is_file():
            continue
        copy = folder / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text(encoding="utf-8").replace(TEMPLATE_NAME, name), encoding="utf-8")
    (folder / "config.yaml.example").write_text(example_yaml(), encoding="utf-8")
