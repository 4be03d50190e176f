"""Checkpoints side by side: what each is, and how configuration, weights and answers differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences
from ferspore.data.faces import Faces
from ferspore.evaluation.evaluator import load_evaluator, weights_in
from ferspore.run.ckpt import (
    UnsoundError,
    is_trained,
    parameter_count,
    read_ckpt,
    refuse_not_finite,
)
from ferspore.run.model_of import NoModelError, model_of
from ferspore.run.names import sidecar_path
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sound
from ferspore.tables import Say

LARGEST = 5  # differences of weights that are named


class CompareError(ValueError):
    """A file cannot be compared; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One checkpoint. What only a sidecar can tell is None where there is none.

    best_accuracy: fraction, of the run up to this checkpoint.
    epoch: 1-based, of these weights; best_epoch that of ``best_accuracy``.
    parameters: of the net, trainable.
    seconds: of training up to ``epoch``, evaluation not included.
    weights: float32, by name; a snapshot's moving average stands in for its weights.
    """

    path: Path
    kind: str
    best_accuracy: float | None
    best_epoch: int | None
    epoch: int | None
    parameters: int
    bytes: int
    seconds: float | None
    created: str | None
    config: Config | None
    data: dict[str, Any] | None
    weights: dict[str, np.ndarray]


@dataclass(frozen=True)
class TensorDifference:
    """largest: absolute difference of two values. relative: the norm of the difference over the
    larger of the two norms, so from 0 (equal) to 2 (each the other's negative)."""

    name: str
    relative: float
    largest: float


@dataclass(frozen=True)
class WeightDifferences:
    """Of the tensors that both have in one shape; the LARGEST relative differences, falling.

    statistics: the batch statistics and the normalisation of the faces, which no optimizer trains.
    """

    weights: list[TensorDifference]
    statistics: list[TensorDifference]
    compared: int
    other_shape: list[str]
    only_first: list[str]
    only_second: list[str]


@dataclass(frozen=True)
class Paired:
    """How many of the same faces two checkpoints got right; ``p_value`` as ``mcnemar_exact``."""

    faces: int
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


def read_candidate(where: Path) -> Candidate:
    """A checkpoint, or the model that a folder means (see ``model_of``).

    Raises:
        CompareError: it does not exist, is damaged, or is no checkpoint of this network.
    """
    try:
        path = model_of(where)
    except NoModelError as error:
        raise CompareError(str(error)) from error
    if not path.exists():
        raise CompareError(f"{path}: no such file, expected a checkpoint or a run's folder")
    try:
        known = sidecar_path(path).exists()
        contents, sidecar = read_sound(path) if known else (read_ckpt(path), None)
        refuse_not_finite(contents.tensors)
        _, weights = weights_in(contents)
        size = path.stat().st_size
        source = f"the sidecar of {path}"
        config = config_from_dict(sidecar.config, source) if sidecar else None
    except OSError as error:
        raise CompareError(f"{path}: it cannot be read ({error.strerror})") from error
    except UnsoundError as error:
        raise CompareError(f"{path}: {error}") from error
    except ConfigError as error:
        raise CompareError(str(error)) from error
    inside = {key: value for key, value in contents.info.items() if math.isfinite(value)}
    told: Mapping[str, Any] = sidecar.model_dump() if sidecar else inside
    return Candidate(
        path=path,
        kind=sidecar.kind if sidecar else "unknown",
        best_accuracy=told.get("best_accuracy"),
        best_epoch=told.get("best_epoch"),
        epoch=told.get("epoch" if sidecar else "epoch_num"),
        parameters=parameter_count({name: value.shape for name, value in weights.items()}),
        bytes=size,
        seconds=training_seconds(sidecar) if sidecar else None,
        created=told.get("created"),
        config=config,
        data=told.get("data"),
        weights=weights,
    )


def training_seconds(sidecar: SnapshotSidecar | ModelSidecar) -> float | None:
    """How long training took up to the checkpoint; None where an epoch is not on record."""
    seconds: list[Any] = [record.get("seconds") for record in sidecar.history]
    if isinstance(sidecar, SnapshotSidecar) and len(seconds) < sidecar.epoch:
        seconds.append(sidecar.epoch_seconds)  # of the epoch that has not ended
    if len(seconds) != sidecar.epoch or None in seconds:
        return None
    return math.fsum(seconds)


def config_differences(first: Candidate, second: Candidate) -> list[tuple[str, Any, Any]] | None:
    """(key, value in the first, in the second); None where a configuration is not known.

    CSV files are compared by their content, not by their paths.
    """
    if first.config is None or second.config is None or first.data is None or second.data is None:
        return None
    found = [row for row in differences(first.config, second.config) if row[0] != "data.csv"]
    digests = [data.get("sha256") for data in (first.data, second.data)]
    if digests[0] != digests[1]:
        found.append(("data.sha256", digests[0], digests[1]))
    return found


def weight_differences(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> WeightDifferences:
    """How two nets differ, and the tensors that cannot be compared."""
    shared = [name for name in first if name in second]
    same = [name for name in shared if first[name].shape == second[name].shape]
    found = [_difference(name, first[name], second[name]) for name in same]
    found.sort(key=lambda one: -one.relative)
    return WeightDifferences(
        weights=[one for one in found if is_trained(one.name)][:LARGEST],
        statistics=[one for one in found if not is_trained(one.name)][:LARGEST],
        compared=len(same),
        other_shape=[name for name in shared if first[name].shape != second[name].shape],
        only_first=[name for name in first if name not in second],
        only_second=[name for name in second if name not in first],
    )


def _difference(name: str, first: np.ndarray, second: np.ndarray) -> TensorDifference:
    a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    norm, scale = np.linalg.norm(a - b), max(np.linalg.norm(a), np.linalg.norm(b))
    relative = float(norm / scale) if scale else 0.0
    return TensorDifference(name, relative, float(np.abs(a - b).max(initial=0.0)))


def right_answers(candidate: Candidate, faces: Faces, tta: str | None, say: Say) -> np.ndarray:
    """Which faces the checkpoint classifies correctly by the views of ``tta``: bool (N,). Says
    what is assumed of a file without a sidecar.

    Raises:
        CompareError: the file lacks parts of the network, or its logits are not finite.
    """
    try:
        evaluator, lines = load_evaluator(candidate.path)
        logits = evaluator.finite_logits(faces.images, tta=tta)
    except UnsoundError as error:
        raise CompareError(f"{candidate.path}: {error}") from error
    for line in lines:
        say(line)
    return logits.argmax(axis=1) == faces.labels


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two classifiers by the faces that each got right, bool (N,).

    Raises:
        ValueError: the arrays differ in length.
    """
    if first.shape != second.shape:
        raise ValueError(f"received {first.shape} and {second.shape}, expected the same faces")
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    return Paired(
        faces=len(first),
        both=int((first & second).sum()),
        only_first=only_first,
        only_second=only_second,
        neither=int((~first & ~second).sum()),
        p_value=mcnemar_exact(only_first, only_second),
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: binomial with 1/2 on the discordant pairs.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), with the exact tail in place of chi-square.
    """
    pairs, fewer = only_first + only_second, min(only_first, only_second)
    tail = ways = 1  # binomial coefficients, each from the one before: thousands take no time
    for k in range(fewer):
        ways = ways * (pairs - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**pairs)  # exact integers, rounded once
