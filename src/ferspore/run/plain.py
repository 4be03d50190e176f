"""Folders that plain MindSpore wrote with our network: no sidecars, other names, perhaps parts.

Such a checkpoint is `prefix-{epoch}_{step}.ckpt`; when ModelCheckpoint finds old files at its
start it goes on as `prefix_1-...`, so the newest is told by its time, not by its name.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor

from ferspore.network.step import EMA_PREFIX, TrainStep
from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.names import sidecar_path
from ferspore.run.progress import Progress

PLAIN_NAME = re.compile(r".+-(\d+)_(\d+)\.ckpt")


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


def is_plain(folder: Path) -> bool:
    """Whether checkpoints are there, and none of them has a sidecar."""
    files = [path for path in folder.glob("*.ckpt") if PLAIN_NAME.fullmatch(path.name)]
    return bool(files) and not any(sidecar_path(path).exists() for path in files)


def newest(folder: Path) -> tuple[PlainCheckpoint, list[str]]:
    """The checkpoint with the latest time that can be read, and lines for the user.

    Raises:
        UnsoundError: none can be read; each is named.
    """
    files = [path for path in folder.glob("*.ckpt") if PLAIN_NAME.fullmatch(path.name)]
    lines = []
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True):
        try:
            found = read(path)
        except UnsoundError as error:
            lines.append(f"{path}: passed over: {error}")
            continue
        others = f", the latest of {len(files)} by its time" if len(files) > 1 else ""
        lines.append(f"{path}: a plain MindSpore checkpoint without sidecar{others}")
        return found, lines
    raise UnsoundError("\n".join([*lines, f"{folder}: no sound checkpoint is left"]))


def read(path: Path) -> PlainCheckpoint:
    """A checkpoint with the epoch and step that it holds (append_info), else those of its name.

    Raises:
        UnsoundError: damaged, not finite, or neither tells epoch and step.
    """
    contents = read_ckpt(path)
    refuse_not_finite(contents.tensors)
    named, info = PLAIN_NAME.fullmatch(path.name), contents.info
    step = int(named[2]) if named else None
    if "epoch_num" in info and (named or "step_num" in info):
        epoch, total, source = info["epoch_num"], info.get("step_num"), "what it holds"
    elif named:
        epoch, total, source = int(named[1]), None, "its name"
    else:
        raise UnsoundError(
            "neither its content (append_info) nor its name (x-EPOCH_STEP.ckpt) tells its epoch"
        )
    return PlainCheckpoint(path, contents.tensors, int(epoch), step, total, source)


def take_over(step: TrainStep, plain: PlainCheckpoint, progress: Progress) -> list[str]:
    """Restore what the checkpoint holds into ``step`` and ``progress``; lines for the user.

    An epoch whose step count reaches ours is taken as done. What is not in the file keeps its
    start, and is listed.

    Raises:
        UnsoundError: the network's weights are not all there with their shapes.
    """
    tensors = _in_our_names(plain.tensors)
    parameters = {parameter.name: parameter for parameter in step.get_parameters()}
    network = {p.name for p in step.network.get_parameters() if not p.name.startswith("normalize.")}
    faults = [
        f"{name} {tuple(parameter.shape)}: "
        + (f"has the shape {tensors[name].shape}" if name in tensors else "is missing")
        for name, parameter in parameters.items()
        if (name in network and name not in tensors)
        or (name in tensors and tensors[name].shape != tuple(parameter.shape))
    ]
    if faults:
        raise UnsoundError(f"{plain.path}: another net:\n  " + "\n  ".join(faults))
    progress.epoch = plain.epoch
    steps = plain.step or plain.total_steps - (plain.epoch - 1) * progress.steps_per_epoch
    progress.step = min(max(steps, 1), progress.steps_per_epoch)
    progress.evaluated = progress.epoch_done
    restored = {name for name in parameters if name in tensors}
    for name in restored:
        parameters[name].set_data(Tensor(tensors[name].copy()))
    parameters["global_step"].set_data(Tensor(np.int32([progress.global_step])))
    for average in step.averages:
        if average.name not in restored:
            value = parameters[average.name.removeprefix(EMA_PREFIX)].asnumpy()
            average.set_data(Tensor(value.copy()))
    return _told(plain, progress, set(parameters) - restored - {"global_step"})


def _in_our_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The moments of nn.Momentum under the names of nn.SGD, which keeps the same sums."""
    renamed = {}
    for name, value in tensors.items():
        if name.startswith("moments."):
            weight = name.removeprefix("moments.")
            renamed["accum." + weight] = value
            renamed["stat." + weight] = np.zeros_like(value)  # 1 would mean: no step taken yet
        else:
            renamed[name] = value
    return renamed


def _told(plain: PlainCheckpoint, progress: Progress, missing: set[str]) -> list[str]:
    lines = [f"epoch {progress.epoch}, step {progress.step}: from {plain.source}"]
    if plain.step is not None and plain.step > progress.steps_per_epoch:
        lines.append(
            f"its epoch has {plain.step} steps, here it has {progress.steps_per_epoch}: "
            f"epoch {plain.epoch} is taken as done"
        )
    groups = {
        "the optimizer's moments": ("accum.", "stat.", "moment1.", "moment2."),
        "the moving average (it starts at the weights)": (EMA_PREFIX,),
        "the faces' mean and deviation (taken from Training)": ("normalize.",),
    }
    absent = [
        text for text, prefixes in groups.items() if any(n.startswith(prefixes) for n in missing)
    ]
    absent += ["the history of earlier epochs", "the best accuracy (unless measured below)"]
    return [*lines, "not restored, because it is not in the file: " + "; ".join(absent)]
