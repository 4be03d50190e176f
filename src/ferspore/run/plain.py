"""Checkpoints that plain MindSpore wrote with our network: no sidecars, other names, perhaps parts.

Such a checkpoint is `prefix-{epoch}_{step}.ckpt`; when ModelCheckpoint finds old files at its
start it goes on as `prefix_1-...`, so the newest is told by its time, not by its name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite

PLAIN_NAME = re.compile(r".+-(\d{1,9})_(\d{1,9})\.ckpt")


@dataclass(frozen=True)
class PlainCheckpoint:
    """A checkpoint without a sidecar: ``step`` within the epoch or, where no name tells it,
    ``total_steps`` over all epochs, both by its writer's count."""

    path: Path
    tensors: dict[str, np.ndarray]
    epoch: int
    step: int | None
    total_steps: int | None
    source: str  # where epoch and step come from


def by_time(paths: Sequence[Path]) -> list[Path]:
    """The latest last."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))


def read_plain(path: Path) -> PlainCheckpoint:
    """A checkpoint with the epoch and step that it holds (append_info), else those of its name.

    Raises:
        UnsoundError: damaged, not finite, or neither tells epoch and step.
    """
    try:
        contents = read_ckpt(path)
    except OSError as error:
        raise UnsoundError(f"it cannot be read ({error.strerror})") from error
    refuse_not_finite(contents.tensors)
    named, info = PLAIN_NAME.fullmatch(path.name), contents.info
    step = int(named[2]) if named else None
    if "epoch_num" in info and (named or "step_num" in info):
        epoch, total, source = info["epoch_num"], info.get("step_num"), "what it holds"
    elif named:
        epoch, total, source = int(named[1]), None, "its name"
    else:
        raise UnsoundError(
            "neither its content (append_info) nor its name (x-EPOCH_STEP.ckpt) gives its epoch"
        )
    if not (isinstance(epoch, int) and 1 <= epoch < 10**9):
        raise UnsoundError(f"its epoch is {epoch!r}, expected a whole number of at least 1")
    if total is not None and not (isinstance(total, int) and 0 <= total < 2**31):
        raise UnsoundError(f"its step is {total!r}, expected a whole number")
    if step == 0 and total is None:
        raise UnsoundError("its name says step 0, expected a whole number of at least 1")
    return PlainCheckpoint(path, contents.tensors, epoch, step, total, source)
