"""Faces of another size, for progressive resizing: a first stage on small faces is cheap."""

import numpy as np
from PIL import Image


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Faces uint8 (N,H,W) -> (N,size,size), antialiased; the same array if it has that size."""
    if images.shape[1:] == (size, size):
        return images
    resized = np.empty((len(images), size, size), np.uint8)
    for target, image in zip(resized, images, strict=True):
        target[:] = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    return resized
