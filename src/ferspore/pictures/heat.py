"""Faces beside the heat maps that explain what was predicted for them."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ferspore.data.faces import Faces
from ferspore.labels import EMOTIONS
from ferspore.pictures.faces import Tile, grid
from ferspore.pictures.style import RIGHT, WRONG

HEAT_COLOURS = "inferno"  # dark to bright, so it can also be read without colour
MOST_COLOUR = 0.75  # share of the heat's colour over the face where the heat is 1


def overlay(face: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The face uint8 (48,48) under its heat, uint8 (48,48,3): grey where the heat is 0."""
    share = MOST_COLOUR * heat[..., None]
    colours = matplotlib.colormaps[HEAT_COLOURS](heat)[..., :3] * 255
    return np.rint((1 - share) * face[..., None] + share * colours).astype(np.uint8)


def heat_grid(
    faces: Faces,
    groups: dict[str, np.ndarray],
    probabilities: np.ndarray,
    heat: np.ndarray,
    title: str,
) -> Figure:
    """A grid with a row for each group: each face beside its heat map.

    groups: indices into ``faces``. probabilities: float (N,7), heat: float32 (N,48,48) in 0..1,
    both in the order of the groups, N faces in all.
    """
    explained = iter(zip(probabilities, heat, strict=True))
    rows = [
        (name, [tile for index in own for tile in _pair(faces, int(index), *next(explained))])
        for name, own in groups.items()
    ]
    return grid(rows, title)


def _pair(faces: Faces, index: int, probabilities: np.ndarray, heat: np.ndarray) -> list[Tile]:
    face, truth, predicted = faces.images[index], faces.labels[index], probabilities.argmax()
    colour = RIGHT if predicted == truth else WRONG
    said = f"predicted {EMOTIONS[predicted]}\nconfidence {probabilities[predicted]:.2f}"
    return [
        Tile(face, f"true label {EMOTIONS[truth]}\nface {index + 1:,}", colour),
        Tile(overlay(face, heat), said if heat.any() else f"{said}, no heat", colour),
    ]
