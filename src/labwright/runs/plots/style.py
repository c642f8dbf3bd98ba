"""What all pictures share: colours, type, a header, and a figure that needs no display and leaves nothing behind."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import re
import textwrap
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Okabe and Ito's palette, told apart with every common kind of colour blindness.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
INK, MUTED, GRID = "#222222", "#666666", "#E4E4E4"

# Keeps text readable on top of points and lines.
PAPER_LABEL: dict[str, Any] = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}

DPI = 200
MARGIN = 0.14  # inches around everything
_SHEET_TOP = 0.08  # inches between header and tiles
_TITLE_SIZE, _SUBTITLE_SIZE, _LEGEND_SIZE, _NOTE_SIZE = 12.0, 8.5, 8.5, 7.5
_LINE_HEIGHT = 1.3 / 72  # inches per point of font size

_RC: "dict[RcKeyType, Any]" = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "text.usetex": False,
    "axes.edgecolor": "#8A8A8A",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.formatter.min_exponent": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": "#8A8A8A",
    "ytick.color": "#8A8A8A",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "image.composite_image": False,  # a sheet of 400 tiles as SVG: 1 second instead of 14
    "pdf.fonttype": 42,
    "svg.hashsalt": "labwright",
}

_ACRONYMS = {
    name.lower(): name
    for name in (
        *("AUC", "ROC", "PR", "MSE", "MAE", "RMSE", "NMSE", "PSNR", "SSIM", "IoU", "F1", "R²"),
        *("MMD", "ECE", "MCC"),
    )
}
_ACRONYMS["r2"] = "R²"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(text: str) -> str:
    """The text on one line, as it is: a dollar sign starts no formula."""
    drawable = text.encode("utf-8", "replace").decode()  # a name typed under LANG=C may hold what no font has
    return " ".join(drawable.split()).replace("$", r"\$")


def shorten(text: str, width: int) -> str:
    """At most `width` characters of the text, the cut marked."""
    text = " ".join(text.split())
    return plain(text if len(text) <= width else text[: width - 1].rstrip() + "…")


def pretty_name(metric: str) -> str:
    """A metric's key as a title: `roc_auc` gives `ROC AUC`, `top5_accuracy` gives `Top5 accuracy`."""
    words = [_ACRONYMS.get(word.lower(), word) for word in re.split(r"[_\s]+", metric.strip("_ ")) if word]
    if words and words[0].islower():
        words[0] = words[0].capitalize()
    return " ".join(words) or "(unnamed)"


def join_notes(*notes: str) -> str:
    """The notes that say something, as one line."""
    return " · ".join(note for note in notes if note)


def number(value: float) -> str:
    """Four significant digits, as a person would write them: 0.9712, 1×10⁻⁵, NaN."""
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    power = "×10" + str(int(exponent)).translate(_SUPERSCRIPTS) if exponent else ""
    return "NaN" if mantissa == "nan" else mantissa.replace("-", "\N{MINUS SIGN}") + power


def label_axes(axes: "Axes", name: str, note: Sequence[str] = (), num_lines: int = 1) -> None:
    """A panel's name and, below it, what to read from it, above the axes and flush left.

    `num_lines` is the room kept for the note, so that the names of neighbouring panels stand on one line.
    """
    offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    top = 6 + _NOTE_SIZE * 1.35 * num_lines
    axes.annotate(name, (0, 1), (0, top), fontsize=9.5, fontweight="bold", va="bottom", **offset)
    axes.annotate("\n".join(note), (0, 1), (0, top - 1), fontsize=_NOTE_SIZE, color=MUTED, va="top", **offset)


@contextmanager
def picture(
    path: Path, title: str, *, width: float, height: float, subtitle: str = "", legend: Sequence["Artist"] = ()
) -> Generator["Figure"]:
    """A figure to draw on, with `width` by `height` inches below its header; written whole to `path` if all went well.

    The suffix of `path` chooses the format (png, pdf, svg). The artists in `legend` are listed under the title.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from labwright.runs.durable import write_durably

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; nobody can act on a warning per glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        _add_header(figure, title, subtitle, legend)
        yield figure
        buffer, kind = BytesIO(), path.suffix.lstrip(".") or "png"
        if kind == "png":
            canvas.print_png(buffer)  # `savefig` would draw everything once more, to lay it out
        else:
            figure.savefig(buffer, format=kind)
    write_durably(path, buffer.getvalue())


@contextmanager
def sheet(
    path: Path, title: str, *, width: float, height: float, subtitle: str = "", legend: Sequence["Artist"] = ()
) -> Generator[tuple["Figure", "Axes"]]:
    """A picture of tiles and text, `width` by `height` inches within its margins, and what to draw them on.

    Those axes are measured in inches, x from the title's left edge, y from below the header downwards.
    """
    width = 2 * MARGIN + max(width, 3.4)  # a narrower one would wrap its title too often
    body = _SHEET_TOP + height + MARGIN
    with picture(path, title, width=width, height=body, subtitle=subtitle, legend=legend) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, body / float(figure.get_figheight())))
        axes.set_axis_off()
        axes.set_xlim(-MARGIN, width - MARGIN)
        axes.set_ylim(height + MARGIN, -_SHEET_TOP)
        axes.autoscale(False)
        yield figure, axes


def fit(text: str, inches: float, size: float) -> str:
    """As much of the text as fits into `inches` of one line at this font size, the cut marked."""
    return shorten(text, max(3, int(inches * 72 / size / 0.6)))


def say_empty(figure: "Figure", text: str) -> None:
    """Where there is nothing to draw, the picture says so."""
    figure.text(0.5, 0.3, text, ha="center", color=MUTED, fontsize=11)


def _add_header(figure: "Figure", title: str, subtitle: str, legend: Sequence["Artist"]) -> None:
    """Grows the figure by what title, subtitle and legend need, and keeps the layout of the axes below them."""
    width, body = (float(side) for side in figure.get_size_inches())
    lines = [
        (line, size, weight, color)
        for text, size, weight, color in (
            (title, _TITLE_SIZE, "bold", INK),
            (subtitle, _SUBTITLE_SIZE, "normal", MUTED),
        )
        for line in _wrap(figure, text, width, size, weight)
    ]
    key, key_height = _fitting_legend(figure, legend, width)
    text_height = sum(size for _, size, _, _ in lines) * _LINE_HEIGHT
    header = MARGIN + text_height + (key_height + 0.08 if key else 0.0) + 0.06
    height = body + header
    figure.set_size_inches(width, height)

    top = MARGIN
    for line, size, weight, color in lines:
        position = (MARGIN / width, 1 - top / height)
        figure.text(*position, line, fontsize=size, fontweight=weight, color=color, va="top")
        top += size * _LINE_HEIGHT
    if key:
        key.set_bbox_to_anchor((MARGIN / width, 1 - (top + 0.08) / height))
    rect = (MARGIN / width / 2, MARGIN / height / 2, 1 - MARGIN / width, body / height - MARGIN / height / 2)
    figure.set_layout_engine("constrained", rect=rect, w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.04)


def _wrap(figure: "Figure", text: str, width: float, size: float, weight: str) -> list[str]:
    """The lines that the text needs, judged by how wide it is on average."""
    probe = figure.text(0, 0, plain(text), fontsize=size, fontweight=weight)
    measured = probe.get_window_extent().width / figure.dpi
    probe.remove()
    columns = max(10, int(0.95 * len(text) * (width - 2 * MARGIN) / measured)) if measured else 10
    return [plain(line) for line in textwrap.wrap(text, columns, max_lines=4, placeholder=" …")]


def _fitting_legend(figure: "Figure", artists: Sequence["Artist"], width: float) -> tuple[Any, float]:
    """A legend in as many columns as fit the width, and its height in inches."""
    for columns in range(len(artists), 0, -1):
        legend = figure.legend(
            handles=list(artists), loc="upper left", ncols=columns, fontsize=_LEGEND_SIZE, borderpad=0, borderaxespad=0,
            handlelength=2.6, columnspacing=1.8, labelspacing=0.35,
        )  # fmt: skip
        legend.set_in_layout(False)
        box = legend.get_window_extent()
        if box.width / figure.dpi <= width - 2 * MARGIN or columns == 1:
            return legend, box.height / figure.dpi
        legend.remove()
    return None, 0.0
