"""An independent PyTorch twin of ferspore's ResNet and training step, in float64.

Written from the papers and from PyTorch's own layers, optimizers and cross-entropy; it imports
nothing of ferspore. Parameters go in and out as arrays under their MindSpore names. PyTorch is
no dependency: it makes the golden values, and tests use it only where it can be imported.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.golden.cases import (
    CLASSES,
    STEP_BLOCKS,
    STEP_CHANNELS,
    ModelCase,
    StepCase,
    batch,
    parameter_values,
    step_batches,
    teacher_seed,
)

SUFFIXES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
ADAM_EPSILON = 1e-8


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int, squeeze_excite: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        if squeeze_excite:
            self.attention = nn.ModuleDict(
                {
                    "squeeze": nn.Linear(channels, channels // 8),
                    "excite": nn.Linear(channels // 8, channels),
                }
            )
        if stride > 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if hasattr(self, "attention"):
            pooled = functional.adaptive_avg_pool2d(out, 1).flatten(1)
            gate = self.attention["excite"](functional.relu(self.attention["squeeze"](pooled)))
            out = out * torch.sigmoid(gate)[:, :, None, None]
        return functional.relu(out + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class Twin(nn.Module):
    """Faces (B,1,H,W) in grey values -> logits (B,7), float64."""

    def __init__(
        self, stem: str, channels: Sequence[int], blocks: Sequence[int], squeeze_excite: bool
    ):
        super().__init__()
        self.normalize = nn.Module()
        self.normalize.register_buffer("mean", torch.tensor([127.5]))
        self.normalize.register_buffer("deviation", torch.tensor([64.0]))
        channels_in = channels[0]
        first = {
            "3x3": nn.Conv2d(1, channels_in, 3, padding=1, bias=False),
            "5x5": nn.Conv2d(1, channels_in, 5, stride=2, padding=2, bias=False),
        }[stem]
        self.stem = nn.Sequential(first, nn.BatchNorm2d(channels_in), nn.ReLU())
        self.pool = nn.MaxPool2d(2) if stem == "3x3" else nn.Identity()
        self.stages = nn.Sequential()
        for number, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            strides = [2 if number else 1] + [1] * (count - 1)
            inputs = [channels_in] + [width] * (count - 1)
            self.stages.append(
                nn.Sequential(
                    *(
                        Block(c, width, s, squeeze_excite)
                        for c, s in zip(inputs, strides, strict=True)
                    )
                )
            )
            channels_in = width
        self.head = nn.Linear(channels_in, CLASSES)
        self.double()

    def forward(self, faces):
        out = (faces - self.normalize.mean) / self.normalize.deviation
        out = self.stages(self.pool(self.stem(out)))
        return self.head(out.mean(dim=(2, 3)))


def mindspore_names(twin: Twin) -> dict[str, torch.Tensor]:
    """The twin's own tensors (not copies) by MindSpore name."""
    back = {suffix: name for name, suffix in SUFFIXES.items()}
    normalized = {n for n, m in twin.named_modules() if isinstance(m, nn.BatchNorm2d)}
    found = {}
    for name, tensor in twin.state_dict(keep_vars=True).items():
        owner, _, last = name.rpartition(".")
        if last != "num_batches_tracked":
            found[f"{owner}.{back[last]}" if owner in normalized else name] = tensor
    return found


def shapes_of(twin: Twin) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in mindspore_names(twin).items()}


def load_values(twin: Twin, values: Mapping[str, np.ndarray]) -> None:
    """Copies MindSpore parameters in; names and shapes must agree exactly.

    Raises:
        ValueError: a name or a shape differs.
    """
    own = mindspore_names(twin)
    received = {name: value.shape for name, value in values.items()}
    if received != shapes_of(twin):
        raise ValueError(f"expected {shapes_of(twin)}. Received: {received}")
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(torch.from_numpy(np.asarray(value, np.float64)))


def arrays(tensors: Mapping[str, torch.Tensor], prefix: str = "") -> dict[str, np.ndarray]:
    return {
        prefix + name: tensor.detach().numpy().astype(np.float32)
        for name, tensor in tensors.items()
    }


def trainable(twin: Twin) -> dict[str, nn.Parameter]:
    return {n: t for n, t in mindspore_names(twin).items() if isinstance(t, nn.Parameter)}


def statistics(twin: Twin) -> dict[str, torch.Tensor]:
    return {n: t for n, t in mindspore_names(twin).items() if ".moving_" in n}


def judge(case: ModelCase, seed: int) -> dict[str, np.ndarray]:
    """Logits in evaluation mode at full and at half size, and of one forward and backward pass in
    training mode: logits, loss, ``gradient.*`` and the updated ``statistics.*``."""
    twin = Twin(case.stem, case.channels, case.blocks, case.squeeze_excite)
    load_values(twin, parameter_values(shapes_of(twin), seed))
    faces, targets = map(torch.from_numpy, batch(case.faces, case.size, seed))
    with torch.no_grad():
        evaluated = twin.eval()(faces.double())
        evaluated_half = twin(faces[:, :, : case.size // 2, : case.size // 2].double())
    logits = twin.train()(faces.double())
    loss = functional.cross_entropy(logits, targets.double(), label_smoothing=case.label_smoothing)
    loss.backward()
    results = {
        "logits_eval": evaluated,
        "logits_eval_half": evaluated_half,
        "logits_train": logits,
        "loss": loss,
    }
    return (
        arrays(results)
        | arrays({n: p.grad for n, p in trainable(twin).items()}, "gradient.")
        | arrays(statistics(twin), "statistics.")
    )


def make_optimizer(twin: Twin, case: StepCase) -> torch.optim.Optimizer:
    weights = trainable(twin)
    kernels = [p for n, p in weights.items() if n.endswith("weight")]
    vectors = [p for n, p in weights.items() if not n.endswith("weight")]
    groups = [
        {"params": kernels, "weight_decay": case.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if case.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(case.momentum, 0.999))
    return torch.optim.SGD(groups, lr=0.0, momentum=case.momentum, nesterov=case.momentum > 0)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int) -> None:
    """MindSpore's Adam adds epsilon before the bias correction of the second moment ("epsilon
    hat" of Kingma & Ba 2015, section 2), PyTorch's after it: a larger epsilon makes them one."""
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "betas" in group:
            group["eps"] = ADAM_EPSILON / math.sqrt(1.0 - group["betas"][1] ** (step + 1))


def moments(twin: Twin, optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """``momentum_buffer.*``, or ``exp_avg.*`` and ``exp_avg_sq.*``; plain SGD has none."""
    found = {}
    for name, weight in trainable(twin).items():
        for key, value in optimizer.state[weight].items():
            if key != "step" and value is not None:
                found |= arrays({name: value}, f"{key}.")
    return found


class Taught:
    """Soft cross-entropy, and that of the softened logits against the teachers' mean softened
    probabilities, times the temperature squared (Hinton et al. 2015, arXiv:1503.02531)."""

    def __init__(self, case: StepCase, seed: int):
        self.case = case
        self.teachers = [Twin(*sizes, False).eval() for sizes in case.teachers]
        for number, teacher in enumerate(self.teachers):
            values = parameter_values(shapes_of(teacher), teacher_seed(number, seed))
            load_values(teacher, values)

    def loss(self, logits, faces, targets):
        case = self.case
        own = functional.cross_entropy(logits, targets, label_smoothing=case.label_smoothing)
        if not self.teachers:
            return own
        heat = case.teacher_temperature
        with torch.no_grad():
            answers = [torch.softmax(teacher(faces) / heat, 1) for teacher in self.teachers]
        learned = functional.cross_entropy(logits / heat, torch.stack(answers).mean(0))
        return (1 - case.teacher_weight) * own + case.teacher_weight * heat**2 * learned


def train(case: StepCase, seed: int) -> dict[str, np.ndarray]:
    """The state after the case's steps: parameters, ``ema.*`` and moments (PyTorch's prefixes) by
    MindSpore name, and ``losses`` of all steps."""
    twin = Twin("3x3", STEP_CHANNELS, STEP_BLOCKS, case.squeeze_excite)
    load_values(twin, parameter_values(shapes_of(twin), seed))
    twin.train()
    optimizer, taught = make_optimizer(twin, case), Taught(case, seed)
    tracked = {n: t for n, t in mindspore_names(twin).items() if not n.startswith("normalize.")}
    averages = {n: t.detach().clone() for n, t in tracked.items()} if case.ema_decay else {}
    losses = []
    for step, (faces, targets) in enumerate(step_batches(seed)):
        faces, targets = torch.from_numpy(faces).double(), torch.from_numpy(targets).double()
        set_rate(optimizer, case.rates[step], step)
        optimizer.zero_grad()
        loss = taught.loss(twin(faces), faces, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        decay = min(case.ema_decay, (1 + step) / (10 + step))
        for name, average in averages.items():
            average.mul_(decay).add_(tracked[name].detach(), alpha=1.0 - decay)
    return (
        {"losses": np.float32(losses)}
        | arrays(mindspore_names(twin))
        | moments(twin, optimizer)
        | arrays(averages, "ema.")
    )
