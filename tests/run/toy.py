"""A training without a net: weights that are a pure function of the seed and of every step so far.

They carry the number and the learning rate of each step that made them, so a checkpoint found
anywhere tells the whole life of its run: ``replayed`` lives it again, without a stop, and must
arrive at the same bits. Some rates diverge; accuracies tie and fall; some losses are NaN.
"""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

STEPS = 2  # an epoch
HOT = 8.0  # a learning rate that sometimes makes the weights infinite
Tensors = dict[str, np.ndarray]


def chance(*of: object) -> float:
    """A number from 0 to 1 that depends on nothing but ``of``."""
    return zlib.crc32(repr(of).encode()) / 2**32


def rate(lr: float, epochs: int, step: int) -> float:
    """The learning rate of a global step (from 0): like the real one it falls to 0 at the end."""
    return lr * (1 - step / (epochs * STEPS + 1))


def first_tensors(seed: int, init: Tensors | None = None) -> Tensors:
    """Before the first step, from the weights of another run if there are any."""
    start = np.float32([chance(seed, "a"), chance(seed, "b")]) if init is None else init["w"]
    return {
        "w": start,
        "moments": np.zeros(2, np.float32),
        "start": start,
        "steps": np.zeros(0, np.int64),
        "rates": np.zeros(0, np.float64),
    }


def stepped(tensors: Tensors, seed: int, epoch: int, step: int, lr: float) -> tuple[Tensors, float]:
    """The tensors after a step (its number within the epoch) and its loss, that before it."""
    luck = chance(seed, epoch, step)
    weights = tensors["w"]
    moments = np.float32(0.9) * tensors["moments"] + weights * np.float32([luck, -0.5])
    with np.errstate(invalid="ignore"):  # of weights that have diverged
        after = weights - np.float32(lr) * moments + np.float32(luck)
    if lr > HOT / 2 and chance(seed, epoch, step, "diverges") < 0.2:
        after = after + np.float32("inf")
    number = (epoch - 1) * STEPS + step
    return {
        **tensors,
        "w": after,
        "moments": moments,
        "steps": np.append(tensors["steps"], number),
        "rates": np.append(tensors["rates"], lr),
    }, float(weights[0]) ** 2 % 3


def weights_of(tensors: Tensors) -> Tensors:
    """What a best or final model holds."""
    return {name: value for name, value in tensors.items() if name != "moments"}


def scores(tensors: Tensors, seed: int, epoch: int) -> tuple[float, float]:
    """Validation accuracy and loss; of few values, so that epochs tie, and NaN now and then."""
    luck = chance(seed, epoch, tensors["w"].tobytes())
    loss = math.nan if luck < 0.12 else 1 + round(luck * 977 % 5) / 10
    return round(luck * 7919 % 5) / 10, loss


# --- the run that was never stopped ---------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """Where a run stands that was never stopped."""

    tensors: Tensors
    losses: tuple[float, ...] = ()  # of this epoch's steps
    history: tuple[dict[str, Any], ...] = ()
    best: tuple[float, float, int] | None = None  # accuracy, loss, epoch
    since_best: int = 0


def evaluated(life: Life, seed: int, monitor: str) -> Life:
    number = len(life.tensors["steps"])
    epoch = number // STEPS
    accuracy, loss = scores(life.tensors, seed, epoch)
    improved = not math.isnan(loss) and (
        life.best is None
        or (accuracy > life.best[0] if monitor == "val_accuracy" else loss < life.best[1])
    )
    line = {
        "epoch": epoch,
        "global_step": number,
        "loss": sum(life.losses) / STEPS,
        "val_loss": None if math.isnan(loss) else loss,
        "val_accuracy": accuracy,
        "best": improved,
    }
    return Life(
        life.tensors,
        life.losses,
        (*life.history, line),
        (accuracy, loss, epoch) if improved else life.best,
        0 if improved else life.since_best + 1,
    )


@lru_cache(maxsize=50_000)
def lived(seed: int, monitor: str, start: bytes, rates: tuple[float, ...]) -> Life:
    """The run after as many steps as ``rates``, its last epoch not evaluated yet."""
    if not rates:
        return Life(first_tensors(seed, {"w": np.frombuffer(start, np.float32)}))
    life = lived(seed, monitor, start, rates[:-1])
    number = len(rates)
    if number > 1 and (number - 1) % STEPS == 0:
        life = Life(**{**evaluated(life, seed, monitor).__dict__, "losses": ()})
    epoch, step = (number - 1) // STEPS + 1, (number - 1) % STEPS + 1
    tensors, loss = stepped(life.tensors, seed, epoch, step, rates[-1])
    return Life(tensors, (*life.losses, loss), life.history, life.best, life.since_best)


def replayed(tensors: Tensors, seed: int, monitor: str, *, judged: bool) -> Life:
    """The never-stopped run of the rates and the start that ``tensors`` tell."""
    life = lived(seed, monitor, tensors["start"].tobytes(), tuple(tensors["rates"].tolist()))
    return evaluated(life, seed, monitor) if judged else life
