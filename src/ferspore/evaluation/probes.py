"""Fixed inputs for a net: its answers show whether it is the net that it should be."""

import numpy as np

from ferspore.data.practice import draw_faces
from ferspore.labels import FACE_SIZE

DRAWN = 210  # thirty an emotion
NOISE = 46  # fills a batch of the evaluator


def probes() -> np.ndarray:
    """Drawn faces of all emotions, then noise: uint8 (256,48,48)."""
    rng = np.random.default_rng(0)
    faces, _ = draw_faces(DRAWN, rng)
    noise = rng.integers(0, 256, (NOISE, FACE_SIZE, FACE_SIZE), np.uint8)
    return np.concatenate([faces, noise])
