"""The practice data set: drawn grey faces with the seven expressions, as a FER2013 CSV."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ferspore import files
from ferspore.data.cache import locked
from ferspore.data.drawing import draw
from ferspore.data.expressions import (
    AT_REST,
    EXPRESSIONS,
    LIGHT,
    PERSON,
    POSE,
    SHARE_BALD,
    SHARE_BEARD,
    SHARE_GLASSES,
    TONES,
)
from ferspore.labels import EMOTIONS, FACE_SIZE, SPLITS

VERSION = 1  # raise it whenever the drawing changes: it names the file in the cache
SEED = 0
COUNTS = {"Training": 3500, "PublicTest": 700, "PrivateTest": 700}

CHUNK = 256  # faces whose polygons are in memory at once

Ranges = Mapping[str, tuple[float, float]]


class PracticeDataError(OSError):
    """The practice data set could not be written."""


def draw_faces(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` faces whose emotions are as balanced as the count allows, in random order.

    Returns images uint8 (N,48,48) and labels uint8 (N,), indices into EMOTIONS.
    The same generator state gives the same faces.
    """
    labels = rng.permutation(np.arange(count) % len(EMOTIONS)).astype(np.uint8)
    images = np.empty((count, FACE_SIZE, FACE_SIZE), np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        images[chunk] = _light(_drawings(labels[chunk], rng), rng)
    return images, labels


def write_practice_csv(
    path: str | os.PathLike, *, seed: int = SEED, counts: Mapping[str, int] = COUNTS
) -> None:
    """Write a practice data set in FER2013's layout: `emotion,pixels,Usage`, the splits in order.

    `counts` maps a split's name to its number of faces. Every split has its own random stream, so
    its faces do not depend on the other splits' counts.

    Raises PracticeDataError when a split's name is unknown or the file cannot be written.
    """
    unknown = [name for name in counts if name not in SPLITS]
    if unknown:
        raise PracticeDataError(
            f"unknown split in counts. Received: {', '.join(unknown)}; "
            f"expected: {', '.join(SPLITS)}"
        )
    path = Path(path)
    with _failures_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(path, *_csv_lines(seed, counts))


def csv_path(source: str) -> Path:
    """The file that a user means: "practice" is the embedded data set.

    Raises PracticeDataError: see `practice_csv`.
    """
    return practice_csv() if source == "practice" else Path(source)


def practice_csv(cache_dir: Path | None = None) -> Path:
    """Path of the embedded practice data set; drawn at the first call and when found damaged.

    It is kept in `cache_dir`, by default ferspore's folder in the user's cache directory, with its
    SHA-256 in a file beside it.

    Raises PracticeDataError when the file cannot be written there.
    """
    folder = files.cache_folder() if cache_dir is None else Path(cache_dir)
    if folder is None:
        raise PracticeDataError(
            "no place for the practice data set: this user has no home directory and "
            "XDG_CACHE_HOME is not set to an absolute path"
        )
    path = folder / f"practice-v{VERSION}-seed{SEED}.csv"
    if not _is_sound(path):
        with _failures_named(path):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                if not _is_sound(path):  # another process may have drawn it in the meantime
                    files.write_file(path, *_csv_lines(SEED, COUNTS))
                    digest = f"{files.file_sha256(path)}  {path.name}\n"
                    files.write_file(_digest_path(path), digest.encode())
    return path


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _is_sound(path: Path) -> bool:
    try:
        return _digest_path(path).read_bytes().split()[:1] == [files.file_sha256(path).encode()]
    except OSError:
        return False


@contextlib.contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PracticeDataError(
            f"cannot write the practice data set to {path}: {error.strerror or error}"
        ) from error


def _draw_ranges(ranges: Ranges, count: int, rng: np.random.Generator) -> SimpleNamespace:
    """A value per face for every range, uniform in it, as a column (N,1)."""
    low, high = np.array(list(ranges.values()), float).T
    values = rng.uniform(low, high, (count, len(ranges)))
    return SimpleNamespace(**{name: values[:, [i]] for i, name in enumerate(ranges)})


def _action_units(labels: np.ndarray, rng: np.random.Generator) -> SimpleNamespace:
    """The action units of each face's emotion, columns (N,1)."""
    ranges = np.array([list((AT_REST | EXPRESSIONS[name]).values()) for name in EMOTIONS])
    low, high = ranges[labels, :, 0], ranges[labels, :, 1]  # (N,K)
    values = rng.uniform(low, high)
    return SimpleNamespace(**{name: values[:, [i]] for i, name in enumerate(AT_REST)})


def _drawings(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Evenly lit faces without noise, float64 (N,48,48)."""
    count = len(labels)
    person = _draw_ranges(PERSON, count, rng)
    units = _action_units(labels, rng)
    tones = _draw_ranges(TONES, count, rng)
    pose = _draw_ranges(POSE, count, rng)
    bald, beard, glasses = (
        rng.random(count) < share for share in (SHARE_BALD, SHARE_BEARD, SHARE_GLASSES)
    )
    return draw(person, units, tones, pose, bald=bald, beard=beard, glasses=glasses)


def _light(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast, brightness, light from a side, and noise; uint8 (N,48,48)."""
    light = _draw_ranges(LIGHT, len(faces), rng)
    contrast, brightness, gradient_x, gradient_y, noise = (
        value[:, :, None] for value in vars(light).values()
    )
    ramp = np.linspace(-1, 1, FACE_SIZE)
    lit = 128 + brightness + contrast * (faces - 128)
    lit *= 1 + gradient_x * ramp + gradient_y * ramp[:, None]
    lit += noise * rng.standard_normal(faces.shape)
    return lit.round().clip(0, 255).astype(np.uint8)


def _csv_lines(seed: int, counts: Mapping[str, int]) -> Iterator[bytes]:
    numbers = [str(value) for value in range(256)]
    yield b"emotion,pixels,Usage\n"
    for index, split in enumerate(SPLITS):
        images, labels = draw_faces(counts.get(split, 0), np.random.default_rng([seed, index]))
        for image, label in zip(images, labels, strict=True):
            pixels = " ".join([numbers[value] for value in image.ravel().tolist()])
            yield f"{label},{pixels},{split}\n".encode()
