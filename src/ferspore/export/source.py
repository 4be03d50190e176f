"""The checkpoint that is exported, and what its file tells of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from mindspore import Tensor, float32

import ferspore
from ferspore import files
from ferspore.evaluation.evaluator import Evaluator, Sidecar, evaluator_of, read_checkpoint
from ferspore.export.interface import INPUT
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import Contents
from ferspore.run.sidecar import ModelSidecar


@dataclass(frozen=True)
class Source:
    """A net of its own for one export: MindSpore cannot export the same one twice."""

    evaluator: Evaluator
    metadata: dict[str, str]
    lines: list[str]  # for the user


def read_source(checkpoint: Path) -> Source:
    """
    Raises:
        UnsoundError: the file is damaged, or no checkpoint of this network.
        OSError: it cannot be read.
    """
    contents, sidecar, lines = read_checkpoint(checkpoint)
    evaluator = evaluator_of(contents, sidecar)
    digest = sidecar.sha256 if sidecar else files.file_sha256(checkpoint)
    return Source(evaluator, _metadata(contents, sidecar, digest, evaluator), lines)


def dynamic_faces(source: Source) -> Tensor:
    """What MindSpore's exporters take for any number of faces."""
    size = source.evaluator.face_size
    return Tensor(shape=[None, 1, size, size], dtype=float32)


def _metadata(
    contents: Contents,
    sidecar: Sidecar | None,
    digest: str,
    evaluator: Evaluator,
) -> dict[str, str]:
    """The texts by their keys; docs/export.md describes each."""
    accuracy, epoch = _recorded(contents, sidecar)
    size = evaluator.face_size
    known = {
        "accuracy": accuracy,
        "epoch": epoch,
        "usage": _usage(sidecar),
        "csv_sha256": sidecar.data.get("sha256") if sidecar else None,
    }
    return {
        "ferspore_version": ferspore.__version__,
        "labels": json.dumps(EMOTIONS),
        "face_size": str(size),
        "mean": str(evaluator.parameters["normalize.mean"].asnumpy().item()),
        "deviation": str(evaluator.parameters["normalize.deviation"].asnumpy().item()),
        "input": f"{INPUT}: float32 (N,1,{size},{size}), grey values from 0 to 255, not scaled: "
        "the normalisation is inside; a tight square around the face, as in FER2013",
        "checkpoint_sha256": digest,
        **{key: str(value) for key, value in known.items() if value is not None},
    }


def _recorded(contents: Contents, sidecar: Sidecar | None) -> tuple[float | None, float | None]:
    """Accuracy of these very weights when they were saved, and their epoch."""
    if sidecar is None:
        return contents.info.get("best_accuracy"), contents.info.get("best_epoch")
    if sidecar.kind == "best":
        return sidecar.best_accuracy, sidecar.best_epoch
    line = next((line for line in sidecar.history if line["epoch"] == sidecar.epoch), {})
    return line.get("val_accuracy"), sidecar.epoch


def _usage(sidecar: Sidecar | None) -> str | None:
    """The split on which the accuracy was measured."""
    if isinstance(sidecar, ModelSidecar):
        return sidecar.usage
    data = sidecar.config.get("data") if sidecar else None
    return data.get("val_usage") if isinstance(data, dict) else None  # a snapshot's may be forged
