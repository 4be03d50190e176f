"""Test-time augmentation: the views of a face over which a network's logits are averaged.

Shifts are in pixels of the faces that are given. Faces are seen before they are resized, so a
shift is the same part of a face whatever size the net was trained on.
"""

from collections.abc import Iterator

import numpy as np

from ferspore.data.augment import reflected
from ferspore.labels import VIEWS

SHIFT = 2  # pixels
MOVES = {  # key of VIEWS -> (down, right) of each pair of a face and its mirror image
    "flip": ((0, 0),),
    "10": ((0, 0), (-SHIFT, 0), (SHIFT, 0), (0, -SHIFT), (0, SHIFT)),
}


def views(images: np.ndarray, tta: str | None) -> Iterator[np.ndarray]:
    """The views of faces (N,H,W) of any dtype, each of the same shape; without ``tta`` the faces
    alone. Pixels that come in are reflected, as in the shifts of ``augment``."""
    if tta is None:
        yield images
        return
    height, width = images.shape[1:]
    padded = reflected(images, SHIFT)
    for down, right in MOVES[tta]:
        top, left = SHIFT - down, SHIFT - right
        moved = padded[:, top : top + height, left : left + width]
        yield moved
        yield moved[:, :, ::-1]


def with_views(usage: str, tta: str | None) -> str:
    """``PublicTest``, or ``PublicTest (2 views: the face and its mirror image)``."""
    return usage if tta is None else f"{usage} ({VIEWS[tta]})"
