"""Faces -> pictures: one beside its probabilities, a grid of them, one for each pair of emotions.

Each of a face's pixels has to be a square of whole pixels of the picture, which no layout of
matplotlib's promises. So everything here is placed by hand, at pixels from the upper left corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ferspore.labels import EMOTIONS
from ferspore.pictures.style import (
    FAINT,
    GREY,
    INK,
    MARGIN,
    PALE,
    RIGHT,
    SMALL_POINTS,
    TEXT_POINTS,
    WRONG,
    new_figure,
    shortened,
    styled,
    text_width,
)

FACE, TILE, CELL = 240, 192, 96  # pixels a side: 5, 4 and 2 for each of a face's 48
GAP = 17  # between tiles
TEXT_LINE, SMALL_LINE = 23, 20  # from one line of text to the next
TILES_A_LINE = 4
WIDEST_LABEL = 170  # at the left of a row
NARROWEST = 430  # so that a title of a few words has one line


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a grid: uint8 (H,W) or (H,W,3), square, or several squares side by side.

    Its caption may have several lines; ``verdict`` is a bold line below them.
    """

    image: np.ndarray
    caption: str = ""
    colour: str = RIGHT
    verdict: str = ""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The lines below the image and their weights."""
        lines = [(line, "normal") for line in self.caption.splitlines()]
        return lines + ([(self.verdict, "bold")] if self.verdict else [])

    @property
    def squares(self) -> int:
        """How many squares lie side by side."""
        return self.image.shape[1] // self.image.shape[0]


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at pixels from the figure's upper left corner."""
    across, down = figure.bbox.size
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def place_image(
    figure: Figure, left: float, top: float, side: int, image: np.ndarray, frame: str
) -> None:
    """An image uint8 (H,W) grey or (H,W,3) colour, ``side`` pixels high, in a thin frame."""
    axes = place(figure, left, top, side * image.shape[1] // image.shape[0], side)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=frame, linewidth=1.5)


def write(figure: Figure, left: float, top: float, text: str, **how) -> None:
    """Text whose upper left corner is at pixels from the figure's upper left corner."""
    across, down = figure.bbox.size
    figure.text(left / across, 1 - top / down, text, **{"ha": "left", "va": "top", **how})


# --- one face -------------------------------------------------------------------------------------


@styled
def face_beside_bars(
    face: np.ndarray, probabilities: np.ndarray, truth: int | None, title: str
) -> Figure:
    """A face beside its seven probabilities as bars.

    face: uint8 (H,W) grey or (H,W,3) colour, square.
    probabilities: float (7,), in the order of EMOTIONS.
    truth: index of the true emotion, None where it is not known.
    """
    width, left, height = 720, MARGIN + FACE + 114, TEXT_LINE + 9 + FACE + MARGIN
    figure = new_figure(width, height, title)
    top = figure.bbox.height - height
    predicted = int(np.argmax(probabilities))
    colour = WRONG if truth is not None and truth != predicted else RIGHT
    known = "" if truth is None else f"true label {EMOTIONS[truth]}, "
    said = f"{known}predicted {EMOTIONS[predicted]}, confidence {probabilities[predicted]:.2f}"
    write(figure, MARGIN, top, said, color=colour)
    top += TEXT_LINE + 9
    place_image(figure, MARGIN, top, FACE, face, colour)
    bars = place(figure, left, top, width - left - MARGIN, FACE)
    _draw_bars(bars, np.asarray(probabilities, float), truth, colour)
    return figure


def _draw_bars(axes: Axes, probabilities: np.ndarray, truth: int | None, colour: str) -> None:
    predicted = int(np.argmax(probabilities))
    rows = np.arange(len(EMOTIONS))
    axes.barh(rows, probabilities, 0.66, color=[colour if r == predicted else GREY for r in rows])
    axes.set_yticks(rows, EMOTIONS)
    for row, value, tick in zip(rows, probabilities, axes.get_yticklabels(), strict=True):
        label = f"{value:.2f}" + ("  true" if row == truth else "")
        weight = "bold" if row in (predicted, truth) else "normal"
        axes.text(value + 0.015, row, label, va="center_baseline", fontweight=weight)
        tick.set_fontweight(weight)
    axes.set(xlim=(0, 1.36), ylim=(len(EMOTIONS) - 0.5, -0.5), xticks=[])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)


# --- many faces -----------------------------------------------------------------------------------


@styled
def grid(
    rows: Sequence[tuple[str, Sequence[Tile]]], title: str, columns: int = TILES_A_LINE
) -> Figure:
    """Rows of tiles, each under its label; a row of more than ``columns`` goes on in a next line.

    A row without tiles says "none".
    """
    longest = max((len(tiles) for _, tiles in rows), default=0)
    width = 2 * MARGIN + max(3, min(longest, columns)) * (TILE + GAP) - GAP
    heights = [_row_height(tiles, columns) for _, tiles in rows]
    figure = new_figure(width, sum(heights), title)
    top = figure.bbox.height - sum(heights)
    for (label, tiles), height in zip(rows, heights, strict=True):
        _draw_row(figure, top, label, tiles, columns)
        top += height
    return figure


def _row_height(tiles: Sequence[Tile], columns: int) -> int:
    return TEXT_LINE + 7 + -(-len(tiles) // columns) * _line_height(tiles, TILE)


def _line_height(tiles: Sequence[Tile], side: int) -> int:
    return side + max((len(tile.lines) for tile in tiles), default=0) * SMALL_LINE + GAP


def _draw_row(figure: Figure, top: float, label: str, tiles: Sequence[Tile], columns: int) -> None:
    room = figure.bbox.width - 2 * MARGIN
    label = label if tiles else f"{label}: none"
    write(figure, MARGIN, top, shortened(label, room, TEXT_POINTS, "bold"), fontweight="bold")
    for i, tile in enumerate(tiles):
        line, column = divmod(i, columns)
        left = MARGIN + column * (TILE + GAP)
        _draw_tile(figure, left, top + TEXT_LINE + 6 + line * _line_height(tiles, TILE), TILE, tile)


def _draw_tile(figure: Figure, left: float, top: float, side: int, tile: Tile) -> None:
    place_image(figure, left, top, side, tile.image, tile.colour)
    for i, (text, weight) in enumerate(tile.lines):
        text = shortened(text, tile.squares * side + GAP - 5, SMALL_POINTS, weight)
        how = {"color": tile.colour, "fontsize": SMALL_POINTS, "fontweight": weight}
        write(figure, left, top + side + 6 + i * SMALL_LINE, text, **how)


@styled
def labelled_rows(
    rows: Sequence[tuple[str, Sequence[Tile]]], title: str, columns: int = 1000, foot: int = 0
) -> Figure:
    """Lines of tiles, small ones, each row with its label at the left: a bold line, lesser ones.

    A row of more than ``columns`` goes on in a next line. foot: pixels left free below the rows.
    """
    tiles = [tile for _, row in rows for tile in row]
    across = max((tile.squares for tile in tiles), default=1) * CELL + GAP
    longest = max((len(row) for _, row in rows), default=0)
    left = MARGIN + GAP + round(max((_label_width(label) for label, _ in rows), default=0))
    down = _line_height(tiles, CELL)
    lines = [max(1, -(-len(row) // columns)) for _, row in rows]
    width = max(left + min(longest, columns) * across - GAP + MARGIN, NARROWEST)
    height = sum(lines) * down + foot
    figure = new_figure(width, height, title)
    top = figure.bbox.height - height
    for (label, row), used in zip(rows, lines, strict=True):
        _draw_label(figure, top, label)
        if not row:
            write(figure, left, top + CELL / 2, "none", va="center", color=FAINT)
        for i, tile in enumerate(row):
            line, column = divmod(i, columns)
            _draw_tile(figure, left + column * across, top + line * down, CELL, tile)
        top += used * down
    return figure


def _label_width(label: str) -> float:
    return min(WIDEST_LABEL, max(text_width(*line) for line in _label_lines(label)))


def _label_lines(label: str) -> list[tuple[str, float, str]]:
    first, *others = label.splitlines()
    return [(first, TEXT_POINTS, "bold"), *((text, SMALL_POINTS, "normal") for text in others)]


def _draw_label(figure: Figure, top: float, label: str) -> None:
    lines = _label_lines(label)
    top += (CELL - len(lines) * SMALL_LINE) / 2
    for i, (text, points, weight) in enumerate(lines):
        text = shortened(text, WIDEST_LABEL, points, weight)
        how = {"color": FAINT if i else INK, "fontsize": points, "fontweight": weight}
        write(figure, MARGIN, top + i * SMALL_LINE, text, **how)


@styled
def face_matrix(faces: dict[tuple[int, int], Tile], confusion: np.ndarray, title: str) -> Figure:
    """One face for each pair of true and predicted emotion, with the pair's count under it.

    faces: by (true, predicted) code; a pair without a face is a grey square.
    confusion: int (7, 7), rows true, columns predicted.
    """
    left, across, down = 126, CELL + 14, CELL + SMALL_LINE + 12
    head = 2 * TEXT_LINE + 10
    height = head + len(EMOTIONS) * down + MARGIN
    figure = new_figure(left + len(EMOTIONS) * across + MARGIN, height, title)
    top = figure.bbox.height - height
    note = "rows: true emotion; columns: predicted emotion; numbers: faces of each such pair"
    write(figure, MARGIN, top, note, color=FAINT, fontsize=SMALL_POINTS)
    top += head
    for code, emotion in enumerate(EMOTIONS):
        x, y = left + code * across, top + code * down
        write(figure, x, top - TEXT_LINE, emotion, fontweight="bold")
        write(figure, MARGIN, y + CELL / 2, emotion, va="center", fontweight="bold")
    for true, predicted in np.ndindex(confusion.shape):
        x, y = left + predicted * across, top + true * down
        count = f"{confusion[true, predicted]:,}" + (" correct" if true == predicted else "")
        tile = faces.get((true, predicted), NO_FACE)
        place_image(figure, x, y, CELL, tile.image, tile.colour)
        colour = FAINT if tile is NO_FACE else tile.colour
        write(figure, x, y + CELL + 6, count, color=colour, fontsize=SMALL_POINTS)
    return figure


NO_FACE = Tile(np.full((1, 1), 0xEC, np.uint8), colour=PALE)
