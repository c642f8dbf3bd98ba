"""What `make docs` writes: flags.md from the help that is really printed, the tables of metrics.md from `GROUPS`."""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from lab.registry import EXPERIMENTS
from labwright.cli import main
from labwright.metrics import GROUPS

DOCS = Path(__file__).parent
INTRODUCTION = """\
# Flags

Made by `make docs` from the help of the mnist experiment, which has every kind of part. The help of another experiment
shows its own: `python run.py --experiment_id=ID --help`. A flag has its full path as a name, and its last part alone
where that is unique. How values are written is in [configuration](configuration.md).
"""


class Flag(NamedTuple):
    """A flag as the help shows it."""

    names: str
    """`--model.hidden_sizes INT,...` and its other names."""
    text: str


class Section(NamedTuple):
    """A group of flags."""

    title: str
    description: str
    flags: list[Flag]


def printed_help(*words: str) -> str:
    """What `run.py --experiment_id=mnist WORDS --help` prints, on a terminal wide enough to break no line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LABWRIGHT_")}
    printed = io.StringIO()
    with (
        patch.dict(os.environ, environment | {"COLUMNS": "10000", "NO_COLOR": "1"}, clear=True),
        patch.object(sys, "argv", ["run.py"]),
        tempfile.TemporaryDirectory() as folder,  # where no config.yaml of this machine is
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main(EXPERIMENTS, argv=["--experiment_id=mnist", *words, "--help"])
    return printed.getvalue()


def sections(text: str) -> list[Section]:
    """The groups of a help text."""
    found: list[Section] = []
    for block in re.split(r"\n(?=\S)", text)[1:]:
        title, _, body = block.partition("\n")
        head, _, listed = body.rstrip().rpartition("\n\n")
        flags = [_flag(entry) for entry in re.split(r"^  (?=-)", listed, flags=re.MULTILINE) if entry.strip()]
        found.append(Section(title.rstrip(":"), " ".join(head.split()), flags))
    return found


def _flag(entry: str) -> Flag:
    names, _, text = re.sub(r"\s{2,}", "  ", entry.strip()).partition("  ")
    # Python before 3.13 repeats the value's name behind each name of the flag.
    return Flag(re.sub(r" [^\s-]\S*(?=, --)", "", names), text)


def markdown(section: Section) -> str:
    rows = [f"| `{_cell(flag.names)}` | {_cell(flag.text)} |" for flag in section.flags]
    description = section.description.replace("*", r"\*")
    return "\n".join([f"## {section.title}\n", f"{description}\n", "| flag | |", "|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


def pages() -> dict[Path, str]:
    """What should stand in each page that is made, or in part."""
    metrics = DOCS / "metrics.md"
    return {DOCS / "flags.md": flags_page(), metrics: with_tables(metrics.read_text(encoding="utf-8"))}


def with_tables(text: str) -> str:
    """metrics.md with the tables of today between its two marks."""
    before, mark, rest = text.partition("labwright.metrics.GROUPS -->\n")
    _, end, after = rest.partition("<!-- end -->")
    return f"{before}{mark}{metric_tables()}\n{end}{after}"


def metric_tables() -> str:
    """A table for each group: which metrics, which way is better, what they are."""
    tables: list[str] = []
    for group, metrics in GROUPS.items():
        rows = [
            f"| `{name}` | {'↑' if about.higher_is_better else '↓'} | {_cell(about.meaning)} |"
            for name, about in metrics.items()
        ]
        tables.append("\n".join([f"\n| `{group}` | | |", "|---|---|---|", *rows]) + "\n")
    return "".join(tables)


def flags_page() -> str:
    """The whole of flags.md: the default help, and each part's other variants."""
    parts = [INTRODUCTION]
    for section in sections(printed_help()):
        parts.append(markdown(section))
        choice = re.match(r"--(\w+) {(.*?)} .*\(now: (\w+)\)", " ".join(section.flags[0]))
        if choice is not None:
            name, kinds, chosen = choice.groups()
            parts += [markdown(variant(name, kind)) for kind in kinds.split(",") if kind != chosen]
    return "\n".join(parts)


def variant(name: str, kind: str) -> Section:
    """The section of a part when another kind of it is chosen."""
    shown = sections(printed_help(f"--{name}={kind}"))
    return next(section for section in shown if section.flags[0].names.startswith(f"--{name} "))


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
