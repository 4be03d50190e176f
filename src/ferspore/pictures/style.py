"""The look that all pictures share: colours, fonts, titles, and the bytes of the PNG.

Pictures are drawn with Figure objects on the Agg canvas: no window, no global figure, and the same
input gives the same bytes. Sizes are in pixels of the PNG, at which the text is legible.
Colours are those of Okabe & Ito, "Color Universal Design" (2008), which colour-blind readers can
tell apart; amounts are shades of one blue and differ in lightness.
"""

import functools
import io
import math
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ferspore.labels import EMOTIONS

DPI = 120
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT = "#222222", "#6B6B6B"  # text, lesser text
GREY, PALE = "#AEB4BB", "#ECEEF0"  # marks without meaning, and areas
RIGHT, WRONG = BLUE, VERMILION
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
EMOTION_COLOURS = dict(
    zip(EMOTIONS, (VERMILION, GREEN, PURPLE, ORANGE, BLUE, SKY, FAINT), strict=True)
)
SEQUENTIAL = "Blues"

FONT = "DejaVu Sans"  # comes with matplotlib, so every machine has it
TITLE_POINTS, TEXT_POINTS, SMALL_POINTS = 11.0, 9.5, 8.5
MARGIN = 17  # pixels around everything
WIDTH = 670  # pixels of a chart
STYLE = {
    "font.family": FONT,
    "font.size": TEXT_POINTS,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a file name is a dollar
    "figure.titlesize": TITLE_POINTS,
    "figure.titleweight": "bold",
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": MARGIN / DPI,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "axes.titlesize": TEXT_POINTS,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E6E8EB",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.borderaxespad": 0.7,  # with the padding inside, MARGIN
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def styled(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator: ``draw`` runs under STYLE, whatever the user's own matplotlib settings are."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with matplotlib.style.context(STYLE, after_reset=True):
            return draw(*args, **kwargs)

    return drawn


def new_figure(
    width: int, height: int, title: str, layout: Literal["constrained"] | None = None
) -> Figure:
    """A figure with ``height`` pixels of room below its title; call it in a ``styled`` function.

    layout: "constrained", or None where everything is placed by hand.
    """
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    lines = wrapped(title, width - 2 * MARGIN, TITLE_POINTS, "bold")
    text = figure.suptitle("\n".join(lines), x=MARGIN / width, ha="left")
    above = math.ceil(text.get_window_extent().height) + (0 if layout else 2 * MARGIN)
    figure.set_figheight((height + above) / DPI)
    if layout is None:  # a layout puts the title itself, unless it is told where
        text.set_y(1 - MARGIN / (height + above))
    return figure


@styled
def png(figure: Figure, scale: int = 1) -> bytes:
    """The figure as a PNG file without date or program name: same figure, same bytes.

    scale: times the figure's pixels, for screens with finer ones than their pages.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=scale * DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # a second layout would start from this one and differ
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure to ``path`` as PNG, in a folder that exists.

    Raises:
        OSError: it cannot be written.
    """
    path.write_bytes(png(figure))


# --- text that fits -------------------------------------------------------------------------------
# Matplotlib's own wrapping leaves no margin at the right and lets a long word run off the figure.


def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Width in pixels of one line of text."""
    font = FontProperties(family=FONT, size=points, weight=weight)
    return _renderer().get_text_width_height_descent(text, font, False)[0]


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def shortened(text: str, width: float, points: float, weight: str = "normal") -> str:
    """``text``, its middle replaced by an ellipsis where it is wider than ``width`` pixels."""
    if text_width(text, points, weight) <= width:
        return text

    def with_kept(count: int) -> str:
        return text[: (count + 1) // 2] + "…" + text[len(text) - count // 2 :]

    def width_with(count: int) -> float:
        return text_width(with_kept(count), points, weight)

    return with_kept(max(0, bisect_right(range(len(text)), width, key=width_with) - 1))


def wrapped(text: str, width: float, points: float, weight: str = "normal") -> list[str]:
    """``text`` in lines of at most ``width`` pixels, broken at blanks; longer words shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, points, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, width, points, weight))
    return lines
