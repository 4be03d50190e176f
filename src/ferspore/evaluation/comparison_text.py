"""A comparison of checkpoints as text for the terminal, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ferspore.evaluation.comparison import (
    Candidate,
    Paired,
    WeightDifferences,
    config_differences,
    weight_differences,
)
from ferspore.tables import accuracy_text, aligned, counted, duration_text, size_text


def candidate_dict(candidate: Candidate) -> dict[str, Any]:
    """The fields as JSON takes them, without the weights."""
    fields = {key: value for key, value in vars(candidate).items() if key != "weights"}
    config = candidate.config and candidate.config.to_dict()
    return {**fields, "path": str(candidate.path), "config": config}


def to_dict(
    first: Candidate, second: Candidate, faces: Paired | None, usage: str | None
) -> dict[str, Any]:
    """The comparison of ``second`` with ``first`` as JSON takes it."""
    return {
        "first": str(first.path),
        "second": str(second.path),
        "config": config_differences(first, second),
        "weights": asdict(weight_differences(first.weights, second.weights)),
        "paired": None if faces is None else {"usage": usage, **asdict(faces)},
    }


def format_candidates(candidates: Sequence[Candidate]) -> str:
    """An aligned table with one checkpoint a line."""
    header = ["", "checkpoint", "kind", "best accuracy", "at epoch", "epoch", "parameters"]
    rows = [[*header, "size", "training", "created (UTC)"]]
    for i, one in enumerate(candidates):
        epochs = ["-" if n is None else str(n) for n in (one.best_epoch, one.epoch)]
        numbers = [accuracy_text(one.best_accuracy), *epochs, f"{one.parameters:,}"]
        created = "-" if one.created is None else one.created[:19].replace("T", " ")
        last = [size_text(one.bytes), duration_text(one.seconds), created]
        rows.append([letter(i), str(one.path), one.kind, *numbers, *last])
    return aligned(rows, left=3)


def letter(index: int) -> str:
    """The name of a checkpoint below the table: A to Z, then numbers."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def format_comparison(
    first: Candidate,
    second: Candidate,
    faces: Paired | None,
    names: tuple[str, str],
    usage: str,
) -> str:
    """How two checkpoints differ in configuration, weights and answers on ``usage``."""
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
    lines = [f"{counted(found.compared, 'tensor')} of the same shape in both"]
    a, b = names
    for what, tensors in (("weights", found.weights), ("batch statistics", found.statistics)):
        if tensors and tensors[0].relative == 0:
            lines.append(f"{what}: equal")
        elif tensors:
            header = [f"largest differences: {what}", "relative", f"largest |{a}-{b}|"]
            rows = [[one.name, f"{one.relative:.3g}", f"{one.largest:.3g}"] for one in tensors]
            lines += ["", aligned([header, *rows])]
    told = {
        "of another shape": found.other_shape,
        f"only in {names[0]}": found.only_first,
        f"only in {names[1]}": found.only_second,
    }
    more = [f"{len(t)} {how}: {_some(t)}" for how, t in told.items() if t]
    return "\n".join([*lines, *(["", *more] if more else [])])


def _some(tensors: list[str]) -> str:
    return ", ".join(tensors[:3]) + (", ..." if len(tensors) > 3 else "")


def _paired_text(faces: Paired, names: tuple[str, str], usage: str) -> str:
    counts = {
        "both right": faces.both,
        f"only {names[0]} right": faces.only_first,
        f"only {names[1]} right": faces.only_second,
        "neither right": faces.neither,
        f"{names[0]} right": faces.both + faces.only_first,
        f"{names[1]} right": faces.both + faces.only_second,
    }
    rows = [[f"{usage}: the same faces", "faces", "fraction"]]
    rows += [[how, f"{n:,}", f"{n / faces.faces:.4f}"] for how, n in counts.items()]
    return aligned(rows) + f"\nMcNemar's exact test, two-sided: p = {faces.p_value:.4g}"
