"""Two or more checkpoints side by side: figures, configuration, weights, and the same faces."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences
from ferspore.data.faces import Faces
from ferspore.evaluation.evaluator import load_evaluator, weights_in
from ferspore.run.ckpt import Contents, UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.history import HistoryError, read_history
from ferspore.run.names import BEST, METRICS, sidecar_path
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sound
from ferspore.tables import accuracy_text, aligned, duration_text, size_text

LARGEST = 5  # differences of weights that are named


class CompareError(ValueError):
    """A file that was named cannot be compared; the message says which and why."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One checkpoint. What its sidecar would tell is None where there is none.

    best_accuracy: fraction, of the run up to this checkpoint.
    epoch: 1-based, of these weights; best_epoch that of ``best_accuracy``.
    parameters: values of the net, the batch statistics included.
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
class WeightDifferences:
    """Largest absolute difference of each tensor that both have in one shape, falling."""

    largest: list[tuple[str, float]]
    compared: int
    other_shape: list[str]
    only_first: list[str]
    only_second: list[str]


@dataclass(frozen=True)
class Paired:
    """How two checkpoints did on the same faces; ``p_value`` is McNemar's exact one."""

    faces: int
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


# --- reading ------------------------------------------------------------------------------------


def read_candidate(where: Path) -> Candidate:
    """A checkpoint, or the best model of a run's folder.

    Raises:
        CompareError: nothing is there, or it is damaged or no checkpoint of this network.
    """
    path = where / BEST if where.is_dir() else where
    if not path.exists():
        raise CompareError(f"{path}: no such file, expected a checkpoint or a run's folder")
    try:
        contents, sidecar = _read(path)
        _, weights = weights_in(contents)
        size = path.stat().st_size
    except FileNotFoundError:
        raise CompareError(
            f"{path}: no such file, expected a checkpoint or a run's folder"
        ) from None
    except OSError as error:
        raise CompareError(f"{path}: it cannot be read ({error.strerror})") from error
    except UnsoundError as error:
        raise CompareError(f"{path}: {error}") from error
    told = contents.info if sidecar is None else sidecar.model_dump()
    epoch = contents.info.get("epoch_num") if sidecar is None else sidecar.epoch
    return Candidate(
        path=path,
        kind="unknown" if sidecar is None else sidecar.kind,
        best_accuracy=told.get("best_accuracy"),
        best_epoch=told.get("best_epoch"),
        epoch=epoch,
        parameters=sum(value.size for value in weights.values()),
        bytes=size,
        seconds=training_seconds(path, sidecar),
        created=None if sidecar is None else sidecar.created,
        config=None if sidecar is None else _config(sidecar, path),
        data=None if sidecar is None else sidecar.data,
        weights=weights,
    )


def _read(path: Path) -> tuple[Contents, SnapshotSidecar | ModelSidecar | None]:
    if sidecar_path(path).exists():
        return read_sound(path)
    contents = read_ckpt(path)
    refuse_not_finite(contents.tensors)
    return contents, None


def _config(sidecar: SnapshotSidecar | ModelSidecar, path: Path) -> Config:
    try:
        return config_from_dict(sidecar.config, f"the sidecar of {path}")
    except ConfigError as error:
        raise CompareError(str(error)) from error


def training_seconds(path: Path, sidecar: SnapshotSidecar | ModelSidecar | None) -> float | None:
    """What training took up to the checkpoint's epoch, by its own history or its folder's.

    None where an epoch is missing from the record.
    """
    if sidecar is None:
        return None
    if isinstance(sidecar, SnapshotSidecar):
        records: Sequence[Mapping[str, Any]] = sidecar.history
    else:
        try:
            records = read_history(path.parent / METRICS, path.parent.name).records
        except HistoryError:
            return None
    seconds = [r.get("seconds") for r in records if r["epoch"] <= sidecar.epoch]
    running = 0.0
    if isinstance(sidecar, SnapshotSidecar) and len(seconds) < sidecar.epoch:
        running, seconds = sidecar.epoch_seconds, [*seconds, 0.0]
    if len(seconds) != sidecar.epoch or None in seconds:
        return None
    return math.fsum([*seconds, running])


# --- comparing ----------------------------------------------------------------------------------


def config_differences(first: Candidate, second: Candidate) -> list[tuple[str, Any, Any]] | None:
    """(key, value of the first, of the second); None where a configuration is not known.

    The CSV counts by its content: a path says nothing about it.
    """
    if first.config is None or second.config is None:
        return None
    found = [row for row in differences(first.config, second.config) if row[0] != "data.csv"]
    digests = [candidate.data["sha256"] for candidate in (first, second)]
    if digests[0] != digests[1]:
        found.append(("data.sha256", digests[0], digests[1]))
    return found


def weight_differences(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> WeightDifferences:
    """Tensor by tensor, the LARGEST greatest differences; the others are counted or named."""
    shared = [name for name in first if name in second]
    same = [name for name in shared if first[name].shape == second[name].shape]
    found = [(name, _difference(first[name], second[name])) for name in same]
    return WeightDifferences(
        largest=sorted(found, key=lambda entry: -entry[1])[:LARGEST],
        compared=len(same),
        other_shape=[name for name in shared if first[name].shape != second[name].shape],
        only_first=[name for name in first if name not in second],
        only_second=[name for name in second if name not in first],
    )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max(initial=0.0))


def right_answers(candidate: Candidate, faces: Faces) -> np.ndarray:
    """Which faces the checkpoint classifies as they are labelled: bool (N,).

    Raises:
        CompareError: parts of the network are missing in the file.
    """
    try:
        evaluator, _ = load_evaluator(candidate.path)
    except UnsoundError as error:
        raise CompareError(f"{candidate.path}: {error}") from error
    return evaluator.logits(faces.images).argmax(axis=1) == faces.labels


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two classifiers by which faces each got right: two arrays bool (N,).

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
    tail = sum(math.comb(pairs, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**pairs)  # whole numbers up to the one rounded division


# --- showing ------------------------------------------------------------------------------------


def candidate_dict(candidate: Candidate) -> dict[str, Any]:
    """The fields as JSON takes them, without the weights."""
    left_out = ("weights", "config", "path")
    fields = {k: v for k, v in vars(candidate).items() if k not in left_out}
    config = None if candidate.config is None else candidate.config.to_dict()
    return {"path": str(candidate.path), **fields, "config": config}


def to_dict(
    first: Candidate, second: Candidate, faces: Paired | None, usage: str | None
) -> dict[str, Any]:
    """The comparison of ``second`` with ``first`` as JSON takes it."""
    changed = config_differences(first, second)
    return {
        "first": str(first.path),
        "second": str(second.path),
        "config": None if changed is None else [list(row) for row in changed],
        "weights": asdict(weight_differences(first.weights, second.weights)),
        "paired": None if faces is None else {"usage": usage, **asdict(faces)},
    }


def format_candidates(candidates: Sequence[Candidate]) -> str:
    """An aligned table, a checkpoint a line."""
    header = ["", "checkpoint", "kind", "best accuracy", "at epoch", "epoch", "parameters"]
    rows = [[*header, "size", "training", "created (UTC)"]]
    for i, one in enumerate(candidates):
        epochs = ["-" if n is None else str(n) for n in (one.best_epoch, one.epoch)]
        figures = [accuracy_text(one.best_accuracy), *epochs, f"{one.parameters:,}"]
        moment = "-" if one.created is None else one.created[:19].replace("T", " ")
        last = [size_text(one.bytes), duration_text(one.seconds), moment]
        rows.append([letter(i), str(one.path), one.kind, *figures, *last])
    return aligned(rows, left=3)


def letter(index: int) -> str:
    """A, B, ... Z, then numbers: how a checkpoint is called below the table."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def format_comparison(
    first: Candidate,
    second: Candidate,
    faces: Paired | None,
    names: tuple[str, str],
    usage: str,
) -> str:
    """Configuration, weights and paired faces (of ``usage``) of two checkpoints."""
    parts = [
        _config_text(config_differences(first, second), names),
        _weights_text(weight_differences(first.weights, second.weights), names),
    ]
    if faces is not None:
        parts.append(_paired_text(faces, names, usage))
    return "\n\n".join(parts)


def _config_text(rows: list[tuple[str, Any, Any]] | None, names: tuple[str, str]) -> str:
    if rows is None:
        return "configuration: not known, a sidecar is missing"
    if not rows:
        return "configuration: no value differs"
    shown = [[key, *(json.dumps(value) for value in values)] for key, *values in rows]
    return aligned([["configuration", *names], *shown], left=3)


def _weights_text(found: WeightDifferences, names: tuple[str, str]) -> str:
    lines = [f"weights: {found.compared} tensors of one shape in both"]
    if found.largest and found.largest[0][1] == 0:
        lines.append("they are equal")
    elif found.largest:
        rows = [[name, f"{value:.6g}"] for name, value in found.largest]
        lines.append(aligned([["largest differences", "max |a-b|"], *rows]))
    told = {
        "of another shape": found.other_shape,
        f"only in {names[0]}": found.only_first,
        f"only in {names[1]}": found.only_second,
    }
    lines += [f"{len(t)} {how}: {_some(t)}" for how, t in told.items() if t]
    return "\n".join(lines)


def _some(tensors: list[str]) -> str:
    return ", ".join(tensors[:3]) + (", ..." if len(tensors) > 3 else "")


def _paired_text(faces: Paired, names: tuple[str, str], usage: str) -> str:
    rows = [
        [f"{usage}: the same faces", "faces", "fraction"],
        *(
            [how, f"{count:,}", f"{count / faces.faces:.4f}"]
            for how, count in {
                "both right": faces.both,
                f"only {names[0]} right": faces.only_first,
                f"only {names[1]} right": faces.only_second,
                "neither right": faces.neither,
                f"{names[0]} right": faces.both + faces.only_first,
                f"{names[1]} right": faces.both + faces.only_second,
            }.items()
        ),
    ]
    return aligned(rows) + f"\nMcNemar's exact test, two-sided: p = {faces.p_value:.4g}"
