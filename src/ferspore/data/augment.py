"""Random changes to whole batches of faces, in numpy, drawn from a given Generator.

Borders are reflected about the centre of the edge pixel (numpy's "reflect", scipy's "mirror").
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_CHUNK = 24  # faces resampled at once: small arrays stay in cache, larger ones let threads overlap

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
    if augmentation.erasing > 0:
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
    mixed = []
    for own in (images, targets):
        other = own[partners]
        other *= 1 - lam
        other += lam * own
        mixed.append(other)
    return tuple(mixed)


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
    across, along, pads = _positions(matrices, *images.shape[1:])
    result = np.empty_like(images)
    for chunk, pad in enumerate(pads):
        part = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        x = along[part, 0, :, None] + across[part, 0, None]  # (B, H, W)
        y = along[part, 1, :, None] + across[part, 1, None]
        result[part] = _bilinear(reflected(images[part], pad), x, y)
    return result


def _positions(matrices, height, width):
    """Where pixel (i, j) of a face comes from, in fixed point, 16 bits after the point: across[j] +
    along[i], int32 (B, 2, W) and (B, 2, H), in faces padded by as many pixels as their chunk needs
    and laid one below the other; and these numbers of pixels."""
    count = len(matrices)
    xs, ys = np.arange(width), np.arange(height)
    across = matrices[:, :, 0, None] * xs  # (B, 2, W)
    along = matrices[:, :, 1, None] * ys + matrices[:, :, 2, None]  # (B, 2, H)
    # An affine map is furthest out at the corners: pad so far that no pixel needs a check.
    corners = along[:, :, [0, -1], None] + across[:, :, None, [0, -1]]  # (B, 2, 2, 2)
    overshoot = np.maximum(-corners, corners - [[[width - 1]], [[height - 1]]])
    starts = range(0, count, _CHUNK)
    pads = [int(np.ceil(overshoot[i : i + _CHUNK].max(initial=0))) + 1 for i in starts]
    pad = np.repeat(pads, _CHUNK)[:count, None].astype(np.int32)  # (B, 1)

    # The half of 1/256 makes the cut to 8 bits a rounding.
    across = np.rint(across * 65536).astype(np.int32)
    along = np.rint((along + pad[:, None]) * 65536).astype(np.int32) + 128
    above = np.arange(count, dtype=np.int32)[:, None] % _CHUNK * (height + 2 * pad)
    along[:, 1] += above << 16
    return across, along, pads


def _bilinear(images, x, y) -> np.ndarray:
    """Values uint32 (B, H, W) at positions in fixed point, int32 (B, H, W), which are used up."""
    where = y >> 16
    where *= images.shape[2]
    where += x >> 16
    quad = _quads(images).take(where, mode="wrap")  # "wrap" only spares the check of the bounds

    # Two 16-bit lanes side by side blend the upper and the lower pair at once, as
    # 256 left + part (right - left), which fits a lane: 255 * 256 < 2**16.
    right = quad >> 8
    right &= 0x00FF00FF
    quad &= 0x00FF00FF
    right -= quad
    x >>= 8
    x &= 255
    right *= x.view(np.uint32)
    quad <<= 8
    quad += right
    # The same once more, up by 16 bits, so that the grey value is the highest byte.
    upper = quad & 0xFFFF
    quad >>= 16
    quad -= upper
    y &= 0xFF00
    quad *= y.view(np.uint32)
    upper <<= 16
    upper += quad
    upper += 1 << 23
    upper >>= 24
    return upper


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
    count, height, width = images.shape
    images = images.copy()
    images[mirrored] = _mirrored(images[mirrored])
    rows, columns = _reflection(height, reach), _reflection(width, reach)
    sides = (images.take(side, axis=2) for side in (columns[:reach], columns[reach + width :]))
    wide = np.concatenate([next(sides), images, next(sides)], axis=2)
    # Each row of the result is a window of one of these rows, copied as a single item.
    row = rows[np.arange(height) + (reach - down)[:, None]]  # (B, H)
    row += np.arange(0, count * height, height)[:, None]
    windows: np.ndarray = np.ndarray(max(wide.size - width + 1, 0), f"V{width}", wide, strides=1)
    moved = windows[row * wide.shape[2] + (reach - right)[:, None]]
    return moved.view(np.uint8).reshape(images.shape)


def _mirrored(images: np.ndarray) -> np.ndarray:
    """Left to right; whole words with their bytes swapped are faster than single bytes."""
    word = np.dtype(f"u{math.gcd(images.shape[2], 8)}")
    return images.view(word)[:, :, ::-1].byteswap().view(np.uint8)


def reflected(images: np.ndarray, pad: int) -> np.ndarray:
    """Pad rows and columns by `pad` pixels; two gathers are faster than np.pad."""
    rows, columns = (_reflection(n, pad) for n in images.shape[1:])
    return images.take(columns, axis=2).take(rows, axis=1)


@lru_cache
def _reflection(size: int, pad: int) -> np.ndarray:
    """Where the pixels of a padded row come from."""
    return np.pad(np.arange(size), pad, mode="reflect")


def _quads(images: np.ndarray) -> np.ndarray:
    """Pack each pixel with its right, lower and lower-right neighbours, from the lowest byte up:
    uint32 (B * H * W - W,). In last rows and columns the neighbours are those in memory.

    One gather then fetches all that a bilinear sample needs.
    """
    width = images.shape[2]
    pairs = images.ravel().astype(np.uint16)
    pairs[:-1] |= pairs[1:] * np.uint16(256)
    quads = pairs[width:].astype(np.uint32)
    quads <<= 16
    quads |= pairs[:-width]
    return quads


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
