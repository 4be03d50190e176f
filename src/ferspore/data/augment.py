"""Random changes to whole batches of faces, in numpy, drawn from a given Generator.

Borders are reflected about the centre of the edge pixel (numpy's "reflect", scipy's "mirror").
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_CHUNK = 8  # faces resampled at once: small arrays stay in cache and are not mapped anew

ERASED_AREA = (0.02, 0.2)  # of the face
ERASED_ASPECT = (0.3, 3.3)  # height / width


@dataclass(frozen=True)
class Augmentation:
    """How strongly faces are changed at random; the defaults leave them as they are.

    flip: mirror a face left to right with probability 1/2.
    shift: most pixels by which a face moves along each axis.
    rotation: most degrees by which a face turns, either way.
    scale: a face is scaled by a factor in 1 - scale .. 1 + scale; below 1.
    erasing: probability of a rectangle of noise in a face, 0..1.
    mixup_alpha: see `mixup`; 0 switches it off.
    label_smoothing: see `smooth`.
    """

    flip: bool = False
    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    erasing: float = 0.0
    mixup_alpha: float = 0.0
    label_smoothing: float = 0.0


def augment(images: np.ndarray, rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Return a new uint8 (B, H, W) batch made from `images`, uint8 (B, H, W), left as they are.

    Each face is flipped, then scaled and turned about its centre, then shifted; all amounts are
    uniform, and together they are one resampling. Without rotation and scale the shifts are whole
    pixels and no value is interpolated. Then a rectangle of some faces is overwritten with noise
    (Zhong et al. 2020, "Random Erasing Data Augmentation", arXiv:1708.04896). What changes the
    targets is a step of its own: `mixup`, `smooth`.

    The numbers drawn from `rng` depend on the batch's shape alone, so changing one setting leaves
    the draws of the others as they were.
    """
    mirror, right, down, angle, factor, *erased = rng.random((len(images), 10)).T
    # One sheet of noise serves the whole batch: each rectangle shows the part it lies on.
    noise = rng.integers(0, 256, images.shape[1:], dtype=np.uint8)

    mirrored = (mirror < 0.5) & augmentation.flip
    if augmentation.rotation == 0 and augmentation.scale == 0:
        reach = int(augmentation.shift)
        right, down = (np.floor(u * (2 * reach + 1)).astype(np.intp) - reach for u in (right, down))
        result = _mirror_and_move(images, mirrored, right, down, reach)
    else:
        right, down, angle, factor = (2 * u - 1 for u in (right, down, angle, factor))
        result = warp(
            images,
            _output_to_source(
                images.shape,
                mirrored,
                augmentation.shift * right,
                augmentation.shift * down,
                np.deg2rad(augmentation.rotation) * angle,
                1 + augmentation.scale * factor,
            ),
        )
    _erase(result, augmentation.erasing, erased, noise)
    return result


def mixup(
    images: np.ndarray, targets: np.ndarray, rng: np.random.Generator, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each face and its target with those of a partner from the same batch.

    images float32 (B, 1, H, W) and targets float32 (B, classes) come back in the same shapes and
    dtypes: lam * own + (1 - lam) * partner, with one lam ~ Beta(alpha, alpha) per batch and the
    partners a permutation of it (Zhang et al. 2018, "mixup", arXiv:1710.09412). With alpha 0 the
    inputs themselves are returned and nothing is drawn.
    """
    if alpha == 0:
        return images, targets
    lam = np.float32(rng.beta(alpha, alpha))
    partners = rng.permutation(len(images))
    return tuple(lam * x + (1 - lam) * x[partners] for x in (images, targets))


def smooth(targets: np.ndarray, share: float) -> np.ndarray:
    """Spread a share of each target, float32 (B, classes), evenly over all classes.

    Label smoothing, Szegedy et al. 2016, arXiv:1512.00567.
    """
    return targets * np.float32(1 - share) + np.float32(share / targets.shape[1])


def warp(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Resample uint8 (B, H, W) bilinearly through affine maps, float (B, 2, 3).

    Output pixel (x, y) of a face takes the value at matrix @ (x, y, 1) = (source x, source y),
    x to the right and y down, in pixels from the centre of the top-left one. Positions are rounded
    to 1/256 pixel, so that a value is within one grey level of exact interpolation.
    """
    result = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = _warp_chunk(images[part], matrices[part])
    return result


def _warp_chunk(images, matrices) -> np.ndarray:
    count, height, width = images.shape
    xs, ys = np.arange(width), np.arange(height)
    across = matrices[:, :, 0, None] * xs  # (B, 2, W)
    along = matrices[:, :, 1, None] * ys + matrices[:, :, 2, None]  # (B, 2, H)
    # An affine map is furthest out at the corners: pad so far that no pixel needs a check.
    corners = along[:, :, [0, -1], None] + across[:, :, None, [0, -1]]  # (B, 2, 2, 2)
    overshoot = np.maximum(-corners, corners - [[[width - 1]], [[height - 1]]]).max(initial=0)
    pad = int(np.ceil(overshoot)) + 1

    # Fixed point, 16 bits after the point; the half of 1/256 makes the cut to 8 bits a rounding.
    across = np.rint(across * 65536).astype(np.int32)
    along = np.rint((along + pad) * 65536).astype(np.int32) + 128
    x = along[:, 0, :, None] + across[:, 0, None, :]  # (B, H, W)
    y = along[:, 1, :, None] + across[:, 1, None, :]

    quads = _quads(reflected(images, pad))  # (B, rows, columns)
    first = np.arange(count, dtype=np.intp)[:, None, None] * (quads.shape[1] * quads.shape[2])
    where = (y >> 16) * quads.shape[2] + (x >> 16) + first
    quad = quads.ravel().take(where, mode="wrap")  # "wrap" only spares the check of the bounds

    # Two 16-bit lanes side by side blend the upper and the lower pair at once: 255 * 256 < 2**16.
    part = ((x >> 8) & 255).view(np.uint32)
    pair = (quad & 0x00FF00FF) * (256 - part)
    pair += ((quad >> 8) & 0x00FF00FF) * part
    part = ((y >> 8) & 255).view(np.uint32)
    grey = (pair & 0xFFFF) * (256 - part)
    grey += (pair >> 16) * part
    grey += 1 << 15
    grey >>= 16
    return grey.astype(np.uint8)


def _output_to_source(shape, mirrored, right, down, angle, factor) -> np.ndarray:
    """Return (B, 2, 3) maps for warp; angle (B,) in radians, counter-clockwise on the screen."""
    centre = np.array([(shape[2] - 1) / 2, (shape[1] - 1) / 2])
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)  # (B, 2, 2)
    linear[mirrored, 0] *= -1  # the source's x runs the other way
    moved = centre + np.stack([right, down], -1)  # where the centre of the face comes to lie
    offset = centre - np.einsum("bij,bj->bi", linear, moved)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _mirror_and_move(images, mirrored, right, down, reach) -> np.ndarray:
    """Flip the faces of the mask, then move each by whole pixels, at most `reach`."""
    images = images.copy()
    images[mirrored] = images[mirrored, :, ::-1]
    if reach == 0:
        return images
    windows = sliding_window_view(reflected(images, reach), (1, *images.shape[1:]))
    return windows[np.arange(len(images)), reach - down, reach - right, 0]


def reflected(images: np.ndarray, pad: int) -> np.ndarray:
    """Pad rows and columns by `pad` pixels; one gather is twice as fast as np.pad of a batch."""
    rows, columns = (np.pad(np.arange(n), pad, mode="reflect") for n in images.shape[1:])
    return images[:, rows[:, None], columns]


def _quads(images: np.ndarray) -> np.ndarray:
    """Pack each pixel with its right, lower and lower-right neighbours: uint32 (B, H-1, W-1).

    One gather then fetches all that a bilinear sample needs.
    """
    count, height, width = images.shape
    bytes_ = np.empty((count, height - 1, width - 1, 4), np.uint8)
    for i, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        bytes_[..., i] = images[:, row : row + height - 1, column : column + width - 1]
    return bytes_.view("<u4")[..., 0]


def _erase(images, probability, draws, noise) -> None:
    """Overwrite a rectangle of some faces with noise, in place; draws: 5 arrays (B,) in [0, 1)."""
    chosen, area, aspect, top, left = draws
    height, width = images.shape[1:]
    area = (ERASED_AREA[0] + area * np.ptp(ERASED_AREA)) * height * width
    # Uniform in the logarithm: as many tall rectangles as wide ones.
    aspect = np.exp(np.log(ERASED_ASPECT[0]) + aspect * np.ptp(np.log(ERASED_ASPECT)))
    tall = np.clip(np.sqrt(area * aspect), 1, height).astype(np.intp)
    wide = np.clip(np.sqrt(area / aspect), 1, width).astype(np.intp)
    top = (top * (height - tall + 1)).astype(np.intp)
    left = (left * (width - wide + 1)).astype(np.intp)
    for i in np.flatnonzero(chosen < probability):
        rectangle = np.s_[top[i] : top[i] + tall[i], left[i] : left[i] + wide[i]]
        images[i][rectangle] = noise[rectangle]
