"""Scores -> confusion matrix, bars of each emotion, reliability diagram."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ferspore.evaluation.calibration import Reliability
from ferspore.evaluation.scores import Scores, defined_ratios
from ferspore.labels import EMOTIONS
from ferspore.pictures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    MARGIN,
    ORANGE,
    SEQUENTIAL,
    SMALL_POINTS,
    VERMILION,
    WIDTH,
    new_figure,
    styled,
)

DARK = 0.67  # from this fraction on, white text is easier to read on SEQUENTIAL than INK
FEW = 30  # faces, whose accuracy has a standard error of up to 0.09; that of fewer has a larger one
LEGEND: Final = "outside lower left"


@styled
def confusion_matrix(confusion: np.ndarray, title: str) -> Figure:
    """Counts int (7, 7), rows true, columns predicted; shades and fractions are of the row."""
    support = confusion.sum(axis=1)
    fractions = confusion / np.maximum(support, 1)[:, None]
    figure = new_figure(WIDTH, 640, title, "constrained")
    axes = figure.subplots()
    axes.imshow(fractions, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    for (row, column), count in np.ndenumerate(confusion):
        fraction = fractions[row, column]
        how = middle | {"color": "white" if fraction >= DARK else INK if count else GREY}
        axes.text(column, row - 0.14, f"{fraction:.2f}", **how)
        axes.text(column, row + 0.2, f"{count:,}", fontsize=SMALL_POINTS, **how)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    _name_rows(axes, support)
    axes.set(xlabel="predicted", ylabel="true (number of faces)")
    axes.spines[:].set_visible(False)
    note = "each cell: fraction of the row's faces, and their number"
    figure.supxlabel(note, x=MARGIN / WIDTH, ha="left", color=FAINT, fontsize=SMALL_POINTS)
    return figure


@styled
def per_class(scores: Scores, title: str) -> Figure:
    """Precision, recall and F1 of each emotion as bars; "-" for a ratio without cases."""
    figure = new_figure(WIDTH, 620, title, "constrained")
    axes = figure.subplots()
    ratios, bar = defined_ratios(scores), 0.27
    for i, (key, colour) in enumerate((("precision", BLUE), ("recall", ORANGE), ("F1", GREEN))):
        values = [ratios[emotion][key.lower()] for emotion in EMOTIONS]
        rows = np.arange(len(EMOTIONS)) + (i - 1) * bar
        axes.barh(rows, [value or 0 for value in values], bar, color=colour, label=key)
        for row, value in zip(rows, values, strict=True):
            said = "-" if value is None else f"{value:.2f}"
            axes.text((value or 0) + 0.008, row, said, va="center_baseline", fontsize=SMALL_POINTS)
    _name_rows(axes, [scores.per_class[emotion]["support"] for emotion in EMOTIONS])
    axes.set(xlim=(0, 1.08), ylim=(len(EMOTIONS) - 0.5, -0.5))
    axes.set(xlabel="fraction", ylabel="true (number of faces)", xticks=np.linspace(0, 1, 6))
    axes.grid(axis="x")
    figure.legend(loc=LEGEND, ncols=3)
    return figure


def _name_rows(axes: Axes, support: Sequence[float]) -> None:
    """Emotions down the axes, the number of faces under each."""
    named = [f"{name}\n{count:,}" for name, count in zip(EMOTIONS, support, strict=True)]
    axes.set_yticks(range(len(EMOTIONS)), named)
    axes.tick_params(length=0)


@styled
def reliability_diagram(bins: Reliability, title: str, width: int = WIDTH) -> Figure:
    """Accuracy over confidence, and under it how many faces each bin of confidence has.

    Bins of fewer than FEW faces are faded.
    """
    figure = new_figure(width, 740, title, "constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.7, 1))
    step, filled = 1 / len(bins.count), bins.count > 0
    middles, bar = (np.arange(len(bins.count)) + 0.5) * step, step * 0.92
    x, shades = middles[filled], np.where(bins.count < FEW, 0.35, 1)[filled]
    above.plot([0, 1], [0, 1], color=INK, linestyle="--")
    above.bar(x, bins.accuracy[filled], bar, color=[(BLUE, shade) for shade in shades])
    marks = [(VERMILION, shade) for shade in shades]
    ends = (x - bar / 2, x + bar / 2)
    above.hlines(bins.confidence[filled], *ends, colors=marks, linewidth=2.5)
    error, count = bins.expected_calibration_error, bins.count.sum()
    above.set_title(f"expected calibration error {error:.4f}, {count:,} faces")
    above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    above.grid()
    below.bar(middles, bins.count, bar, color=GREY)
    below.set(xlabel="confidence", ylabel="faces")
    below.yaxis.get_major_locator().set_params(integer=True)
    below.grid(axis="y")
    figure.align_ylabels()
    entries = [
        Patch(color=BLUE, label="accuracy"),
        Line2D([], [], color=VERMILION, linewidth=2.5, label="mean confidence"),
        Line2D([], [], color=INK, linestyle="--", label="perfectly calibrated"),
    ]
    columns = 3 if width >= WIDTH else 1
    faded = f"faded: fewer than {FEW} faces in the bin"
    figure.legend(handles=entries, loc=LEGEND, ncols=columns, title=faded, alignment="left")
    return figure
