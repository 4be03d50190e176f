"""Checks of the tensors in a checkpoint: names, shapes, sizes and values."""

import math
import re
from collections.abc import Mapping

import numpy as np

from ferspore.network.resnet import initial_values
from ferspore.run.ckpt import Contents, is_trained, parameter_count
from ferspore.tables import counted, one_line, size_text
from ferspore.verification.findings import Finding, listed
from ferspore.verification.subject import Shapes, Subject

OF_A_TENSOR = re.compile(r"(moments|moment1|moment2|accum|stat|ema)\.(.+)")
OF_THE_LOSS_SCALE = {"loss_scale.scale", "loss_scale.finite_steps"}
OF_THE_OPTIMIZER = OF_THE_LOSS_SCALE | {
    *("global_step", "momentum", "learning_rate", "beta1_power", "beta2_power")
}
LARGEST = 1e6  # of a weight or statistic; trained ones stay below a thousand


# --- names, shapes, sizes -------------------------------------------------------------------------


def describe_foreign(contents: Contents) -> Finding:
    """What is in a checkpoint that is not of this project's network."""
    total = sum(value.size for value in contents.tensors.values())
    shapes = [f"{name} {value.shape}" for name, value in contents.tensors.items()]
    beginning = all(name.startswith(("normalize.", "stem.")) for name in contents.tensors)
    what = "only the beginning of a network" if beginning else "not one of ours"
    tensors = counted(len(contents.tensors), "tensor")
    text = f"{what}: {tensors}, {counted(total, 'parameter')}: {listed(shapes)}"
    return Finding("FAIL", "network", text)


def check_network(subject: Subject, shapes: Shapes) -> Finding:
    """Whether every parameter of the net is there with its shape, and nothing unexpected."""
    tensors = subject.contents.tensors
    missing = [name for name in shapes if name not in tensors]
    other = [
        f"{name} {tensors[name].shape} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != tuple(shape)
    ]
    unknown = [name for name in tensors if name not in shapes and not _is_optimizer_state(name)]
    no_floats = [name for name in shapes if name in tensors and tensors[name].dtype.kind != "f"]
    share = sum(math.prod(shapes[n]) for n in missing) / sum(map(math.prod, shapes.values()))
    of_all = f"{len(missing)} of {len(shapes)} tensors ({share:.0%})"
    if subject.config is None:  # then the net is known from this very file
        of_all = f"at least {counted(len(missing), 'tensor')}"
    faults = [
        (f"incomplete, {of_all} missing", missing),
        (f"{counted(len(other), 'other shape')}: another model's file", other),
        (f"{counted(len(unknown), 'tensor')} not of this model", unknown),
        (f"{counted(len(no_floats), 'tensor')} not floating-point", no_floats),
    ]
    if texts := [f"{what}: {listed(names)}" for what, names in faults if names]:
        return Finding("FAIL", "network", "; ".join(texts))
    trained = f"{parameter_count(shapes):,} trainable parameters"
    text = f"all {len(shapes)} tensors have the right shapes ({trained})"
    types = {str(tensors[name].dtype) for name in shapes} - {"float32"}
    if types:
        return Finding("WARN", "network", f"{text}, but as {', '.join(sorted(types))}")
    return Finding("PASS", "network", text)


def _is_optimizer_state(name: str) -> bool:
    return name in OF_THE_OPTIMIZER or OF_A_TENSOR.fullmatch(name) is not None


def check_size(subject: Subject, shapes: Shapes) -> Finding:
    """The file's length against 4 bytes a parameter (fewer in half precision)."""
    tensors = subject.contents.tensors
    weights = sum(
        math.prod(shape) * (tensors[name].itemsize if name in tensors else 4)
        for name, shape in shapes.items()
    )
    ratio = f"{subject.size / weights:.2f} times the {size_text(weights)} of the weights alone"
    text = f"{size_text(subject.size)}, {ratio}"
    if subject.size < weights:
        return Finding("FAIL", "size", f"{text}: too small to hold them")
    rest = subject.size - sum(value.nbytes for value in tensors.values())
    if subject.whole and rest > 1000 * len(tensors):  # a name and a shape take some 60 bytes
        return Finding("WARN", "size", f"{text}; {size_text(rest)} belong to no tensor")
    return Finding("PASS", "size", text)


def check_contents(subject: Subject, shapes: Shapes) -> Finding:
    """Weights alone or the optimizer's state too, against what the kind of file is for."""
    tensors = subject.contents.tensors
    names = [name for name in tensors if _is_optimizer_state(name)]
    if not names:
        if subject.kind == "snapshot":
            text = "weights alone: a snapshot without optimizer state cannot be resumed"
            return Finding("WARN", "contents", text)
        return Finding("PASS", "contents", "weights alone, as a model for use should be")
    if faults := _incomplete_groups(subject.contents, shapes):
        return Finding("FAIL", "contents", f"optimizer state: {'; '.join(faults)}")
    groups = sorted({name.split(".")[0] for name in names})
    inside = f"weights and optimizer state ({', '.join(groups)})"
    if subject.kind in ("best", "final"):
        extra = size_text(sum(tensors[name].nbytes for name in names))
        text = f"{inside}: {extra} too large, only a resume needs that"
        return Finding("WARN", "contents", text)
    return Finding("PASS", "contents", f"{inside}, as a snapshot to resume from has")


def _incomplete_groups(contents: Contents, shapes: Shapes) -> list[str]:
    """Where a group of the optimizer's tensors does not have one for each parameter it covers."""
    groups: dict[str, set[str]] = {}
    faults = []
    for name, value in contents.tensors.items():
        if not (found := OF_A_TENSOR.fullmatch(name)):
            continue
        group, of = found.groups()
        groups.setdefault(group, set()).add(of)
        if of not in shapes or value.shape != tuple(shapes[of]):
            faults.append(f"{one_line(name)} {value.shape} belongs to no weight")
    for group, names in groups.items():
        belongs = _is_averaged if group == "ema" else is_trained
        due = [name for name in shapes if belongs(name)]
        if missing := [f"{group}.{name}" for name in due if name not in names]:
            faults.append(f"{len(missing)} missing: {listed(missing)}")
    return faults


def _is_averaged(name: str) -> bool:
    return not name.startswith("normalize.")


# --- values ---------------------------------------------------------------------------------------


def check_values(tensors: Mapping[str, np.ndarray]) -> Finding:
    """NaN, infinities, kernels that are all one value, implausibly large numbers."""
    bad, flat, huge = [], [], []
    for name, value in tensors.items():
        if value.dtype.kind != "f" or value.size == 0:
            continue
        if count := int(np.count_nonzero(~np.isfinite(value))):
            bad.append(f"{name} ({count:,} of {value.size:,})")
        elif _is_kernel(name, value) and value.min() == value.max():
            flat.append(f"{name} (all {value.flat[0]:g})")
        elif name not in OF_THE_LOSS_SCALE and np.abs(value).max() > LARGEST:
            huge.append(f"{name} ({np.abs(value).max():.3g})")
    if bad:
        text = f"NaN or infinite in {listed(bad)}: it cannot predict; use an earlier checkpoint"
        return Finding("FAIL", "values", text)
    if flat:
        return Finding("FAIL", "values", f"wiped, one value throughout: {listed(flat)}")
    if huge:
        text = f"implausibly large, from a flipped bit or divergence: {listed(huge)}"
        return Finding("WARN", "values", text)
    return Finding("PASS", "values", "all finite, no kernel is constant")


def _is_kernel(name: str, value: np.ndarray) -> bool:
    """Convolution and dense kernels: moments and vectors may well be all zero."""
    found = OF_A_TENSOR.fullmatch(name)
    return value.ndim > 1 and (found is None or found[1] == "ema")


def check_statistics(tensors: Mapping[str, np.ndarray]) -> Finding:
    """Batch statistics and the normalisation of the faces."""
    variances = {
        name: value for name, value in tensors.items() if name.endswith(".moving_variance")
    }
    if negative := [name for name, value in variances.items() if (value < 0).any()]:
        text = f"negative variance in {listed(negative)}: impossible, the file is damaged"
        return Finding("FAIL", "statistics", text)
    deviation = tensors["normalize.deviation"].item()
    if not deviation > 0:
        text = f"normalize.deviation is {deviation:g}, expected grey values above 0"
        return Finding("FAIL", "statistics", text)
    untouched = [
        name
        for name, variance in variances.items()
        if (variance == 1).all() and not tensors[name.replace("variance", "mean")].any()
    ]
    if untouched:
        text = f"never updated (mean 0, variance 1): {listed(untouched)}"
        return Finding("FAIL", "statistics", text)
    return Finding("PASS", "statistics", "batch statistics were updated, no variance is negative")


def check_trained(weights: Mapping[str, np.ndarray], shapes: Shapes, seed: int | None) -> Finding:
    """How many tensors still have their initial values.

    Those are drawn in the order of ``shapes``. Without the ``seed`` only batch-norm scales and
    shifts and biases are known: they start at 0 or 1.
    """
    starts = {name: np.zeros(shape) for name, shape in shapes.items() if name.endswith(".beta")}
    starts |= {name: np.ones(shape) for name, shape in shapes.items() if name.endswith(".gamma")}
    drawn = initial_values(shapes, seed or 0)
    starts |= {n: value for n, value in drawn.items() if seed is not None or value.ndim == 1}
    still = [name for name, start in starts.items() if np.array_equal(weights[name], start)]
    known = f"the first values of seed {seed}" if seed is not None else "their first 0 or 1"
    if len(still) == len(starts):
        text = f"all {len(starts)} tensors still have {known}: it was never trained"
        return Finding("FAIL", "trained", text)
    if still:
        text = f"{len(still)} of {len(starts)} tensors still have {known}: {listed(still)}"
        return Finding("WARN", "trained", text)
    return Finding("PASS", "trained", f"all {len(starts)} tensors have moved from {known}")
