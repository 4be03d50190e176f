"""What the golden values are computed from: numpy only, shared by MindSpore and the PyTorch twin.

``RandomState`` streams are frozen by NumPy (NEP 19), so only results are stored, never inputs.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
CLASSES = 7


@dataclass(frozen=True)
class ModelCase:
    """One network judged on one batch of square faces."""

    stem: str
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    squeeze_excite: bool
    faces: int
    size: int
    label_smoothing: float


MODELS = {
    "model_plain": ModelCase("3x3", (4, 8, 16), (1, 2, 1), False, 4, 48, label_smoothing=0.0),
    "model_squeeze": ModelCase("3x3", (8, 16), (1, 1), True, 4, 48, label_smoothing=0.1),
    "model_5x5": ModelCase("5x5", (4, 12, 6), (2, 1, 1), False, 4, 48, label_smoothing=0.1),
}

# Warm-up of 2 steps to 0.1, then half a cosine over 3: 1, (1 + cos 60)/2, (1 + cos 120)/2 of it.
RATES = (0.05, 0.1, 0.1, 0.075, 0.025)
PEAK, WARMUP = 0.1, 2


@dataclass(frozen=True)
class StepCase:
    """Five training steps of a small net on 24x24 faces."""

    squeeze_excite: bool
    optimizer: str
    momentum: float
    weight_decay: float
    label_smoothing: float
    ema_decay: float
    peak: float = PEAK
    teachers: tuple[
        tuple[str, tuple[int, ...], tuple[int, ...]], ...
    ] = ()  # stem, channels, blocks
    teacher_weight: float = 0.0
    teacher_temperature: float = 1.0

    @property
    def rates(self) -> tuple[float, ...]:
        return tuple(rate * self.peak / PEAK for rate in RATES)


# 0.3 lies between the third and the fourth value of the ramp (1 + t) / (10 + t).
STEPS = {
    "step_sgd": StepCase(False, "sgd", 0.9, 0.05, 0.1, 0.3),
    "step_adamw": StepCase(True, "adamw", 0.9, 0.5, 0.1, 0.3, peak=0.01),
    "step_no_momentum": StepCase(False, "sgd", 0.0, 0.05, 0.0, 0.0),
}
STEPS["step_taught"] = replace(
    STEPS["step_sgd"],
    peak=0.03,
    teachers=(("3x3", (4, 8), (1, 2)), ("5x5", (8, 12, 8), (1, 1, 1))),
    teacher_weight=0.7,
    teacher_temperature=3.0,
)
STEP_CHANNELS, STEP_BLOCKS, STEP_FACES, STEP_SIZE = (8, 16), (1, 1), 5, 24


def teacher_seed(number: int, seed: int) -> int:
    return 10 * (number + 1) + seed


def parameter_values(shapes: Mapping[str, Iterable[int]], seed: int) -> dict[str, np.ndarray]:
    """Values float32 for parameters under their MindSpore names: nothing is left at 0 or 1, and
    each depends on its own name and shape only, not on the order of the parameters."""
    return {name: _value(name, tuple(shape), seed) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
    if name == "normalize.mean":
        value = np.full(shape, 120.0)
    elif name == "normalize.deviation":
        value = np.full(shape, 60.0)
    elif name.endswith((".gamma", ".moving_variance")):
        value = rng.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        value = rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
    else:
        value = rng.standard_normal(shape) * 0.3
    return value.astype(np.float32)


def batch(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces (count,1,size,size) float32 of 0..255 and targets (count,7) float32: the first face
    has one class, the others are mixed of two."""
    rng = np.random.RandomState(seed)
    faces = rng.randint(0, 256, (count, 1, size, size)).astype(np.float32)
    share = rng.uniform(0.0, 1.0, (count, 1))
    share[0] = 1.0
    one, other = (np.eye(CLASSES)[rng.randint(0, CLASSES, count)] for _ in range(2))
    return faces, (share * one + (1.0 - share) * other).astype(np.float32)


def step_batches(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [batch(STEP_FACES, STEP_SIZE, 100 * seed + step) for step in range(len(RATES))]


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)
