"""Faces beside the heat maps that explain what was predicted for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ferspore.labels import EMOTIONS
from ferspore.pictures.faces import CELL, Tile, labelled_rows, place, write
from ferspore.pictures.style import FAINT, MARGIN, RIGHT, SMALL_POINTS, WRONG, styled

HEAT_COLOURS = "inferno"  # dark to bright, so it can also be read without colour
MOST_COLOUR = 0.75  # share of the heat's colour over the face where the heat is 1
FACES_A_LINE = 6
SCALE = 52  # pixels below the faces: the colour scale and its words


@dataclass(frozen=True, eq=False)
class Explained:
    """A face uint8 (48,48), its probabilities float (7,), the heat float32 (48,48) in 0..1 of the
    predicted emotion; its true label, None where it is not known; what it is called."""

    face: np.ndarray
    probabilities: np.ndarray
    heat: np.ndarray
    truth: int | None = None
    name: str = ""


def overlay(face: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The face uint8 (48,48) under its heat, uint8 (48,48,3): grey where the heat is 0."""
    share = MOST_COLOUR * heat[..., None]
    colours = matplotlib.colormaps[HEAT_COLOURS](heat)[..., :3] * 255
    return np.rint((1 - share) * face[..., None] + share * colours).astype(np.uint8)


@styled
def heat_rows(groups: Sequence[tuple[str, Sequence[Explained]]], title: str) -> Figure:
    """A row for each group, its label at the left: each face beside its heat map; a colour scale
    below them."""
    rows = [(label, [_pair(one) for one in own]) for label, own in groups]
    figure = labelled_rows(rows, title, FACES_A_LINE, SCALE)
    top = figure.bbox.height - SCALE
    bar = place(figure, MARGIN, top, 2 * CELL, 14)
    ramp, grey = np.linspace(0, 1, 256, dtype=np.float32), np.full((1, 256), 128, np.uint8)
    bar.imshow(overlay(grey, ramp[None]), aspect="auto")
    bar.set(xticks=[], yticks=[])
    said = "no part in the prediction (grey) to the most (bright)"
    write(figure, MARGIN, top + 19, said, color=FAINT, fontsize=SMALL_POINTS)
    return figure


def _pair(one: Explained) -> Tile:
    predicted = int(one.probabilities.argmax())
    colour = RIGHT if one.truth in (predicted, None) else WRONG
    known = "" if one.truth is None else f"true {EMOTIONS[one.truth]}"
    lines = [", ".join(text for text in (one.name, known) if text)]
    lines += [] if one.heat.any() else ["no heat"]
    verdict = f"predicted {EMOTIONS[predicted]} {one.probabilities[predicted]:.2f}"
    both = np.hstack([np.stack([one.face] * 3, 2), overlay(one.face, one.heat)])
    return Tile(both, "\n".join(filter(None, lines)), colour, verdict)
