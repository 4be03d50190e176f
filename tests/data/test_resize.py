"""Resizing against Pillow's BILINEAR written out: an antialiasing triangle filter, as matrices."""

import numpy as np
import pytest

from ferspore.data.resize import resize


def pattern() -> np.ndarray:
    """Two faces: bars that get finer to the right and towards the bottom, and noise."""
    ys, xs = np.mgrid[:48, :48]
    bars = 127.5 + 127.5 * np.sin(xs**2 / 40) * np.cos(ys**2 / 90)
    noise = np.random.default_rng(0).uniform(0, 255, (48, 48))
    return np.stack([bars, noise]).astype(np.uint8)


def triangle_filter(source: int, target: int) -> np.ndarray:
    """Weights float64 (target, source); each reaches a target pixel far, or at least one pixel."""
    scale = source / target
    centres = (np.arange(target)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(source) + 0.5 - centres) / max(scale, 1.0)
    weights = np.maximum(1 - distances, 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [16, 24, 37, 96])
def test_equals_a_triangle_filter(size):
    images = pattern()
    before = images.copy()
    resized = resize(images, size)
    assert resized.shape == (2, size, size) and resized.dtype == np.uint8
    weights = triangle_filter(48, size)
    exact = weights @ images.astype(float) @ weights.T
    assert np.abs(resized - exact).max() <= 1.1  # rounded to whole grey levels along each axis
    assert np.abs(resized - exact).mean() < 0.5
    np.testing.assert_array_equal(images, before)


def test_the_same_size_is_the_same_array():
    images = pattern()
    assert resize(images, 48) is images
