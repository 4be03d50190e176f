"""Putting saved tensors back into a training step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from ferspore.evaluation.differences import network_differences
from ferspore.evaluation.evaluator import weights_in
from ferspore.network.precision import SCALE_PREFIX
from ferspore.network.step import EMA_PREFIX, TrainStep
from ferspore.run.asked import RefusalError
from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.plain import PlainCheckpoint
from ferspore.run.progress import Progress
from ferspore.tables import counted


def restore(step: TrainStep, tensors: Mapping[str, np.ndarray], source: Path) -> None:
    """Put a snapshot's tensors into the step, each by its exact name and shape. The loss scale
    starts anew where there is none in it: older snapshots had a fixed one.

    Raises:
        RefusalError: a name or a shape is not that of the run; nothing is changed then.
    """
    fresh = {p.name: p.asnumpy() for p in step.get_parameters() if p.name.startswith(SCALE_PREFIX)}
    put(step, {**fresh, **tensors}, f"{source}: another net or optimizer")


def initialise_from(step: TrainStep, path: Path) -> None:
    """Start from the weights of another run; everything else is new.

    Raises:
        RefusalError: the file is not sound, or its net is another one.
    """
    try:
        _, weights = weights_in(read_ckpt(path))
        refuse_not_finite(weights)
    except UnsoundError as error:
        raise RefusalError(f"--init_from {path}: {error}") from error
    except OSError as error:
        raise RefusalError(f"--init_from {path}: {error.strerror}") from error
    put(step.network, weights, f"--init_from {path}: another net")
    for average in step.averages:
        average.set_data(Tensor(weights[average.name.removeprefix(EMA_PREFIX)].copy()))


def put(cell: nn.Cell, tensors: Mapping[str, np.ndarray], refusal: str) -> None:
    """Set every parameter of ``cell`` from ``tensors``; ``refusal`` begins the text of an error.

    Raises:
        RefusalError: names or shapes differ; nothing is changed then.
    """
    parameters = {parameter.name: parameter for parameter in cell.get_parameters()}
    if faults := network_differences(_shapes(parameters), _shapes(tensors)):
        raise RefusalError("\n  ".join([f"{refusal}:", *faults]))
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(tensors[name].copy()))


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


# --- plain MindSpore's checkpoints ----------------------------------------------------------------


def take_over(step: TrainStep, plain: PlainCheckpoint, progress: Progress) -> list[str]:
    """Restore what the checkpoint holds into ``step`` and ``progress``; lines for the user.

    An epoch whose step count reaches ours is taken as done. What is not in the file keeps its
    start, and is listed.

    Raises:
        RefusalError: the network's weights are not all there with their shapes.
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
        faults = network_differences(_shapes(parameters), _shapes(tensors), faults)
        raise RefusalError("\n  ".join([f"{plain.path}: another net:", *faults]))
    progress.epoch = plain.epoch
    before = (plain.epoch - 1) * progress.steps_per_epoch
    steps = plain.step or (plain.total_steps or 0) - before
    progress.step = min(max(steps, 1), progress.steps_per_epoch)
    progress.evaluated = progress.epoch_done
    # Both optimizers keep their momentum as a parameter: that of the configuration counts.
    restored = {name for name in parameters if name in tensors} - {"momentum"}
    for name in restored:
        parameters[name].set_data(Tensor(tensors[name].copy()))
    parameters["global_step"].set_data(Tensor(np.array([progress.global_step], np.int32)))
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
            f"its epoch has {counted(plain.step, 'step')}, here it has {progress.steps_per_epoch}: "
            f"epoch {plain.epoch} counts as done"
        )
    groups = {
        "the optimizer's moments": ("accum.", "stat.", "moment1.", "moment2."),
        "the moving average (it starts at the weights)": (EMA_PREFIX,),
        "the loss scale (it starts anew)": (SCALE_PREFIX,),
        "the faces' mean and deviation (taken from Training)": ("normalize.",),
    }
    absent = [
        text for text, prefixes in groups.items() if any(n.startswith(prefixes) for n in missing)
    ]
    absent += ["the history of earlier epochs", "the best accuracy (unless measured below)"]
    return [*lines, "not restored, because it is not in the file: " + "; ".join(absent)]
