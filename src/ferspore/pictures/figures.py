"""Arrays and histories -> matplotlib figures with one look; never loads a model.

Everything is drawn with Figure objects on the Agg canvas: no window, no global figure, and the
same input gives the same bytes. Sizes are in inches; at DPI pixels an inch the text is legible
at 100%. Colours are those of Okabe & Ito, "Color Universal Design" (2008), which colour-blind
readers tell apart; amounts are shades of one blue, told apart by their lightness.
"""

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ferspore.evaluation.calibration import Reliability
from ferspore.evaluation.scores import Scores
from ferspore.labels import EMOTIONS
from ferspore.run.history import History

DPI = 120
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT, PALE = "#222222", "#6B6B6B", "#D5D8DC"  # text, lesser text, marks without meaning
RIGHT, WRONG = BLUE, VERMILION
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
SEQUENTIAL = "Blues"

TITLE_POINTS, TEXT_POINTS, SMALL_POINTS = 11.0, 9.5, 8.5
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine has it
    "font.size": TEXT_POINTS,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a file name is a dollar
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": TITLE_POINTS,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E6E8EB",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "image.interpolation": "nearest",
}
MARGIN = 0.14  # inches around everything
LINE = 1.45  # distance of two lines of text, in heights of their letters

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def styled(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator: ``draw`` runs under STYLE, whatever the user's own matplotlib settings are."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with matplotlib.style.context(STYLE, after_reset=True):
            return draw(*args, **kwargs)

    return drawn


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of width x height inches; draw on it in a function that is ``styled``."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


@styled
def png(figure: Figure) -> bytes:
    """The figure as a PNG file without date or program name: same figure, same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure to ``path`` as PNG, in a folder that exists.

    Raises:
        OSError: it cannot be written.
    """
    path.write_bytes(png(figure))


# --- text that stays inside -----------------------------------------------------------------------


def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Width in inches of one line of text."""
    font = FontProperties(family="DejaVu Sans", size=points, weight="bold" if bold else "normal")
    return _renderer().get_text_width_height_descent(text, font, False)[0] / DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def shortened(text: str, width_in: float, points: float, *, bold: bool = False) -> str:
    """``text``, with its middle replaced by an ellipsis where it is wider than ``width_in``."""
    kept = len(text)
    short = text
    while kept > 0 and text_width(short, points, bold=bold) > width_in:
        kept -= 1
        short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
    return short


def wrapped(text: str, width_in: float, points: float, *, bold: bool = False) -> list[str]:
    """``text`` in lines of at most ``width_in``, broken at blanks; a longer word is shortened."""
    lines: list[str] = []
    for word in text.split():
        word = shortened(word, width_in, points, bold=bold)
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, points, bold=bold) <= width_in:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def line_height(points: float) -> float:
    """Inches from one line of text to the next."""
    return points / 72 * LINE


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at inches from the figure's left and upper edge."""
    across, down = figure.get_size_inches()
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(box)


def write(figure: Figure, left: float, top: float, text: str, **how) -> None:
    """Text whose upper left corner is at inches from the figure's left and upper edge."""
    across, down = figure.get_size_inches()
    figure.text(left / across, 1 - top / down, text, **{"ha": "left", "va": "top", **how})


def write_title(figure: Figure, title: str) -> None:
    """The title at the figure's upper left; ``title_height`` tells the room that it takes."""
    lines = _title_lines(title, figure.get_size_inches()[0])
    for i, line in enumerate(lines):
        top = MARGIN + i * line_height(TITLE_POINTS)
        write(figure, MARGIN, top, line, fontsize=TITLE_POINTS, fontweight="bold")


def title_height(title: str, width_in: float) -> float:
    """Inches from the upper edge to below a title on a figure of that width."""
    return MARGIN + len(_title_lines(title, width_in)) * line_height(TITLE_POINTS) + 0.06


def _title_lines(title: str, width_in: float) -> list[str]:
    return wrapped(title, width_in - 2 * MARGIN, TITLE_POINTS, bold=True)


def show_image(axes: Axes, image: np.ndarray, frame: str = PALE) -> None:
    """An image uint8 (H,W) grey or (H,W,3) colour that fills the axes, in a thin frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=frame, linewidth=1.5)


# --- faces ----------------------------------------------------------------------------------------

FACE_IN = 2.0  # 240 pixels: each of the 48 is a square of 5
BARS_WIDTH = 6.0


@styled
def face_beside_bars(
    face: np.ndarray, probabilities: np.ndarray, truth: int | None, title: str
) -> Figure:
    """A face beside its seven probabilities as bars.

    face: uint8 (H,W) grey or (H,W,3) colour, square.
    probabilities: float (7,), in the order of EMOTIONS.
    truth: index of the true emotion, None where it is not known.
    """
    top = title_height(title, BARS_WIDTH)
    text = line_height(TEXT_POINTS)
    figure = new_figure(BARS_WIDTH, top + text + 0.08 + FACE_IN + MARGIN)
    write_title(figure, title)
    predicted = int(np.argmax(probabilities))
    colour = WRONG if truth is not None and truth != predicted else RIGHT
    said = f"predicted {EMOTIONS[predicted]}, confidence {probabilities[predicted]:.2f}"
    known = "" if truth is None else f"true label {EMOTIONS[truth]}, "
    write(figure, MARGIN, top, known + said, color=colour)
    top += text + 0.08
    show_image(place(figure, MARGIN, top, FACE_IN, FACE_IN), face, colour)
    left = MARGIN + FACE_IN + 0.95
    bars = place(figure, left, top, BARS_WIDTH - left - MARGIN, FACE_IN)
    _draw_bars(bars, np.asarray(probabilities, float), truth, colour)
    return figure


def _draw_bars(axes: Axes, probabilities: np.ndarray, truth: int | None, colour: str) -> None:
    predicted = int(np.argmax(probabilities))
    rows = np.arange(len(EMOTIONS))
    colours = [colour if row == predicted else "#AEB4BB" for row in rows]
    axes.barh(rows, probabilities, height=0.66, color=colours)
    for row, value in zip(rows, probabilities, strict=True):
        label = f"{value:.2f}" + ("  true" if row == truth else "")
        weight = "bold" if row in (predicted, truth) else "normal"
        axes.text(value + 0.015, row, label, va="center", fontsize=TEXT_POINTS, fontweight=weight)
    axes.set_yticks(rows, EMOTIONS)
    for row, tick in enumerate(axes.get_yticklabels()):
        tick.set_fontweight("bold" if row in (predicted, truth) else "normal")
    axes.set(xlim=(0, 1.36), ylim=(len(EMOTIONS) - 0.5, -0.5), xticks=[])
    axes.tick_params(length=0)
    axes.spines[["bottom"]].set_visible(False)


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a grid: uint8 (H,W) or (H,W,3), square; its caption may have several lines."""

    image: np.ndarray
    caption: str = ""
    colour: str = RIGHT


TILE_IN = 1.6  # 192 pixels: each of a face's 48 is a square of 4
TILE_GAP = 0.14
TILES_A_LINE = 4


@styled
def grid(
    rows: Sequence[tuple[str, Sequence[Tile]]], title: str, columns: int = TILES_A_LINE
) -> Figure:
    """Rows of tiles, each under its label; a row of more than ``columns`` goes on in a next line.

    A row without tiles says "none".
    """
    longest = max((len(tiles) for _, tiles in rows), default=1)
    width = 2 * MARGIN + max(3, min(longest, columns)) * (TILE_IN + TILE_GAP) - TILE_GAP
    heights = [_row_height(tiles, columns) for _, tiles in rows]
    top = title_height(title, width) + 0.04
    figure = new_figure(width, top + sum(heights) + MARGIN - 0.1)
    write_title(figure, title)
    for (label, tiles), height in zip(rows, heights, strict=True):
        _draw_row(figure, top, label, tiles, columns)
        top += height
    return figure


def _caption_height(tiles: Sequence[Tile]) -> float:
    lines = max(tile.caption.count("\n") + 1 if tile.caption else 0 for tile in tiles)
    return lines * line_height(SMALL_POINTS) + TILE_GAP


def _row_height(tiles: Sequence[Tile], columns: int) -> float:
    label = line_height(TEXT_POINTS) + 0.05
    if not tiles:
        return label + 0.1
    lines = -(-len(tiles) // columns)
    return label + lines * (TILE_IN + _caption_height(tiles)) + 0.04


def _draw_row(figure: Figure, top: float, label: str, tiles: Sequence[Tile], columns: int) -> None:
    room = figure.get_size_inches()[0] - 2 * MARGIN
    label = label if tiles else f"{label}: none"
    write(figure, MARGIN, top, shortened(label, room, TEXT_POINTS, bold=True), fontweight="bold")
    top += line_height(TEXT_POINTS) + 0.05
    for i, tile in enumerate(tiles):
        line, column = divmod(i, columns)
        left = MARGIN + column * (TILE_IN + TILE_GAP)
        upper = top + line * (TILE_IN + _caption_height(tiles))
        show_image(place(figure, left, upper, TILE_IN, TILE_IN), tile.image, tile.colour)
        for j, text in enumerate(tile.caption.split("\n")):
            below = upper + TILE_IN + 0.05 + j * line_height(SMALL_POINTS)
            text = shortened(text, TILE_IN, SMALL_POINTS)
            write(figure, left, below, text, color=tile.colour, fontsize=SMALL_POINTS)


FACE_CELL_IN = 0.8  # 96 pixels: each of a face's 48 is a square of 2


@styled
def face_matrix(faces: dict[tuple[int, int], Tile], confusion: np.ndarray, title: str) -> Figure:
    """One face for each pair of true and predicted emotion, with the pair's count under it.

    faces: by (true, predicted) code. confusion: int (7, 7), rows true, columns predicted.
    """
    left, pitch = 1.05, FACE_CELL_IN + 0.12
    width = left + len(EMOTIONS) * pitch + MARGIN
    note = line_height(SMALL_POINTS)
    top = title_height(title, width) + note + line_height(TEXT_POINTS) + 0.08
    down = FACE_CELL_IN + note + 0.1
    figure = new_figure(width, top + len(EMOTIONS) * down + MARGIN)
    write_title(figure, title)
    write(figure, left, top - note - line_height(TEXT_POINTS) - 0.02, "predicted", color=FAINT)
    write(figure, MARGIN, top - line_height(TEXT_POINTS), "true", color=FAINT)
    for code, emotion in enumerate(EMOTIONS):
        x, y = left + code * pitch, top + code * down
        write(figure, x, top - line_height(TEXT_POINTS), emotion, fontweight="bold")
        write(figure, MARGIN, y + FACE_CELL_IN / 2, emotion, va="center", fontweight="bold")
    for true, predicted in np.ndindex(confusion.shape):
        x, y = left + predicted * pitch, top + true * down
        count = f"{confusion[true, predicted]:,}" + (" correct" if true == predicted else "")
        tile = faces.get((true, predicted))
        if tile is not None:
            show_image(place(figure, x, y, FACE_CELL_IN, FACE_CELL_IN), tile.image, tile.colour)
        colour = FAINT if tile is None else tile.colour
        write(figure, x, y + FACE_CELL_IN + 0.04, count, color=colour, fontsize=SMALL_POINTS)
    return figure


# --- scores ---------------------------------------------------------------------------------------


@styled
def confusion_matrix(confusion: np.ndarray, title: str) -> Figure:
    """Counts int (7, 7), rows true, columns predicted; shades and fractions are of the row."""
    support = confusion.sum(axis=1, keepdims=True)
    fractions = confusion / np.maximum(support, 1)
    cell, left = 0.62, 1.1
    width = left + len(EMOTIONS) * cell + MARGIN
    top = title_height(title, width) + 0.08
    size = len(EMOTIONS) * cell
    figure = new_figure(width, top + size + 0.82)
    write_title(figure, title)
    axes = place(figure, left, top, size, size)
    axes.imshow(fractions, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for (row, column), fraction in np.ndenumerate(fractions):
        colour = "white" if fraction > 0.7 else INK
        axes.text(column, row - 0.12, f"{fraction:.2f}", ha="center", va="center", color=colour)
        axes.text(
            column,
            row + 0.2,
            f"{confusion[row, column]:,}",
            ha="center",
            va="center",
            color=colour,
            fontsize=SMALL_POINTS,
        )
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    counts = support[:, 0].tolist()
    axes.set_yticks(
        range(len(EMOTIONS)), [f"{e}\n{n:,}" for e, n in zip(EMOTIONS, counts, strict=True)]
    )
    axes.set(xlabel="predicted", ylabel="true (number of faces)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    note = "each cell: fraction of the row's faces, and their number"
    write(figure, left, top + size + 0.52, note, color=FAINT, fontsize=SMALL_POINTS)
    return figure


@styled
def per_class(scores: Scores, title: str) -> Figure:
    """Precision and recall of each emotion as bars, beside the number of its faces."""
    width, left, bar = 5.6, 1.1, 0.38
    top = title_height(title, width) + line_height(TEXT_POINTS) + 0.06
    height = len(EMOTIONS) * 0.52
    figure = new_figure(width, top + height + 0.56)
    write_title(figure, title)
    axes = place(figure, left, top, width - left - MARGIN, height)
    rows = np.arange(len(EMOTIONS))
    for offset, key, colour in ((-bar / 2, "precision", BLUE), (bar / 2, "recall", ORANGE)):
        values = [scores.per_class[emotion][key] for emotion in EMOTIONS]
        axes.barh(rows + offset, values, height=bar, color=colour, label=key)
        for row, value in zip(rows, values, strict=True):
            axes.text(
                value + 0.008, row + offset, f"{value:.2f}", va="center", fontsize=SMALL_POINTS
            )
    support = [f"{e}\n{scores.per_class[e]['support']:,} faces" for e in EMOTIONS]
    axes.set_yticks(rows, support)
    axes.set(xlim=(0, 1.08), ylim=(len(EMOTIONS) - 0.45, -0.55), xlabel="fraction")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.tick_params(length=0)
    _legend_above(axes, 2)
    return figure


@styled
def reliability_diagram(bins: Reliability, title: str) -> Figure:
    """Accuracy over confidence, and under it how many faces each bin of confidence has."""
    width, size = 5.4, 3.7
    top = title_height(title, width) + line_height(TEXT_POINTS) + 0.06
    figure = new_figure(width, top + size + 0.3 + 1.0 + 0.62)
    write_title(figure, title)
    axes = place(figure, 0.85, top, width - 1.05, size)
    step = 1 / len(bins.count)
    middles = (np.arange(len(bins.count)) + 0.5) * step
    filled = bins.count > 0
    axes.plot([0, 1], [0, 1], color=INK, linestyle="--", label="perfectly calibrated")
    axes.bar(middles[filled], bins.accuracy[filled], step * 0.92, color=BLUE, label="accuracy")
    axes.plot(
        middles[filled],
        bins.confidence[filled],
        color=VERMILION,
        linestyle="none",
        marker="_",
        markersize=14,
        markeredgewidth=2.5,
        label="mean confidence",
    )
    error = bins.expected_calibration_error
    said = f"expected calibration error {error:.4f}\n{bins.count.sum():,} faces"
    axes.text(0.03, 0.96, said, va="top", linespacing=1.4)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    axes.tick_params(labelbottom=False)
    axes.grid()
    _legend_above(axes, 3)
    below = place(figure, 0.85, top + size + 0.3, width - 1.05, 1.0)
    below.bar(middles, bins.count, step * 0.92, color="#AEB4BB")
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="faces")
    below.grid(axis="y")
    return figure


def _legend_above(axes: Axes, columns: int) -> None:
    """The legend in one line above the axes, from their left edge on."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        borderpad=0.2,
        borderaxespad=0.1,
        handlelength=1.2,
        columnspacing=1.2,
    )


# --- histories ------------------------------------------------------------------------------------

PANELS = (
    ("loss", "loss (nats)"),
    ("val_accuracy", "validation accuracy"),
    ("lr", "learning rate"),
)
STAR = {"marker": "*", "markersize": 13, "markeredgecolor": INK, "linestyle": "none"}
TRIANGLE = {"marker": "^", "markersize": 7, "markeredgecolor": INK, "linestyle": "none"}


@styled
def history_curves(histories: Sequence[History], title: str) -> Figure:
    """Loss, accuracy and learning rate over epochs of one or several runs.

    The best epoch has a star, an epoch that a resume ended has a triangle on the epoch axis.
    Epochs without a value are gaps in the line. Raises ValueError for more runs than SERIES has
    colours.
    """
    if len(histories) > len(SERIES):
        raise ValueError(f"received {len(histories)} runs, expected at most {len(SERIES)}")
    width, panel, gap, left = 5.6, 1.8, 0.36, 0.8
    entries = _history_legend(histories, width - left - 0.8)
    top = title_height(title, width) + 0.06
    legend = top + len(PANELS) * (panel + gap) + 0.2
    figure = new_figure(width, legend + len(entries) * line_height(TEXT_POINTS) + MARGIN)
    write_title(figure, title)
    last = max(history.records[-1]["epoch"] for history in histories)
    for i, (key, name) in enumerate(PANELS):
        axes = place(figure, left, top + i * (panel + gap), width - left - MARGIN, panel)
        for colour, history in zip(SERIES, histories, strict=False):
            _draw_history(axes, history, key, colour)
        axes.set(xlim=(0.5, last + 0.5), ylabel=name)
        axes.yaxis.set_label_coords(-0.115, 0.5)  # below each other, whatever the ticks' width
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid()
        if key == "lr":
            axes.set(xlabel="epoch", ylim=(0, None))
    below = place(figure, left, legend, width - left - MARGIN, 0.01)
    below.set_axis_off()
    below.legend(
        handles=entries, loc="upper left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0
    )
    return figure


def _draw_history(axes: Axes, history: History, key: str, colour: str) -> None:
    values = history.values(key)
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, color=colour, marker=".", markersize=4)
    if key == "loss":
        axes.plot(
            epochs, history.values("val_loss"), color=colour, linestyle="--", marker=".", ms=4
        )
    best, marked = history.best, {"loss": "val_loss"}.get(key, key)
    if best is not None and key != "lr" and best.get(marked) is not None:
        axes.plot(best["epoch"], best[marked], **STAR, color=colour)
    for epoch in history.resumed:
        axes.plot(epoch, 0.03, **TRIANGLE, color=colour, transform=axes.get_xaxis_transform())


def _history_legend(histories: Sequence[History], width_in: float) -> list[Line2D]:
    entries = []
    for colour, history in zip(SERIES, histories, strict=False):
        said = history.name
        if (best := history.best) is not None and best.get("val_accuracy") is not None:
            accuracy, epoch = best["val_accuracy"], best["epoch"]
            said += f": best validation accuracy {accuracy:.4f} at epoch {epoch}"
        said = shortened(said, width_in, TEXT_POINTS)
        entries.append(Line2D([], [], color=colour, linewidth=3, label=said))
    entries += [
        Line2D([], [], color=FAINT, label="loss in training"),
        Line2D([], [], color=FAINT, linestyle="--", label="loss in validation"),
        Line2D([], [], color=FAINT, **STAR, label="best epoch"),
    ]
    if any(history.resumed for history in histories):
        entries.append(Line2D([], [], color=FAINT, **TRIANGLE, label="first epoch after a resume"))
    return entries
