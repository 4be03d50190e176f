"""Test-time augmentation: the mean of a net's logits over the views of each face."""

from collections.abc import Callable

import numpy as np

from ferspore.data.views import views
from ferspore.labels import EMOTIONS

BATCH_SIZE = 256  # faces a forward pass; the logits do not depend on it


def averaged_logits(
    forward: Callable[[np.ndarray], np.ndarray], images: np.ndarray, tta: str | None
) -> np.ndarray:
    """Logits float32 (N,7) of faces uint8 (N,48,48); ``tta``: a key of VIEWS, None for the faces
    alone. ``forward`` takes any number of faces."""
    parts = [np.empty((0, len(EMOTIONS)), np.float32)]
    for start in range(0, len(images), BATCH_SIZE):
        seen = list(views(images[start : start + BATCH_SIZE], tta))
        logits = forward(np.concatenate(seen))
        parts.append(logits.reshape(len(seen), -1, len(EMOTIONS)).mean(axis=0))
    return np.concatenate(parts)
