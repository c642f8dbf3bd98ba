"""What the verbs share: a dataset opened, what they print, and progress on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from labwright.args.errors import UserError
from labwright.args.wording import not_one_of
from labwright.runs.durable import strict_json
from labwright.runs.sizes import bytes_text

if TYPE_CHECKING:
    from labwright.shards import Opened

PATH_HELP = "a directory of shards (labwright's, quix's or WebDataset's), a tar file, or a pattern of tar files"
_PLAIN_SECONDS = 5.0


def opened(path: str) -> "Opened":
    """The dataset at `path`, in any format that is understood."""
    from labwright.shards import open_dataset

    with byte_bar("scanning") as progress:
        dataset = open_dataset(Path(path).expanduser(), progress=progress)
    for note in dataset.notes:
        print(f"note: {note}", file=sys.stderr)
    return dataset


def chosen_splits(dataset: "Opened", named: str | None) -> tuple[str, ...]:
    """The split that was asked for, or all of them."""
    if named is None:
        return dataset.splits
    if named not in dataset.splits:
        raise UserError(f"--split: {not_one_of(named, dataset.splits)}")
    return (named,)


def print_json(document: Any) -> None:
    print(strict_json(document, indent=2).decode())


def say(line: str, file: TextIO) -> None:
    """A line on `file`, above the bar where there is one."""
    if not (file.isatty() and sys.stderr.isatty()):
        return print(line, file=file, flush=True)
    from tqdm import tqdm

    tqdm.write(line, file=file)


def print_facts(facts: dict[str, str]) -> None:
    """A line for each fact that there is."""
    width = max(map(len, facts))
    for name, text in facts.items():
        if text:
            print(f"  {name:<{width}}  {text}")


@contextlib.contextmanager
def byte_bar(title: str, total: int | None = None) -> Generator[Callable[[int], object]]:
    """A function to tell of bytes that are done: a bar on a terminal, a line every few seconds elsewhere; on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(
            total=total,
            desc=title,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
            delay=0.5,
        ) as bar:
            yield bar.update
        return
    yield _Lines(title, total).add


class _Lines:
    """Progress as lines of text."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._due = time.monotonic() + _PLAIN_SECONDS

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _PLAIN_SECONDS
            of = "" if self._total is None else f" of {bytes_text(self._total)}"
            line = f"{self._title}: {bytes_text(self._done)}{of}"
            with contextlib.suppress(OSError):  # nobody is looking any more
                print(line, file=sys.stderr, flush=True)
