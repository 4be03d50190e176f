"""The ResNet for grey 48x48 faces (He et al. 2016, arXiv:1512.03385), shapes at each stage.

The mean and deviation that normalise the faces are non-trainable parameters of the net, so a
checkpoint alone can judge a face. Weights are drawn by numpy from an explicit seed: a global
seed set elsewhere changes nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ferspore.labels import EMOTIONS

KERNEL = {"3x3": 3, "5x5": 5}  # side of each stem's convolution
SQUEEZE_RATIO = 8  # channels of a block over channels of its squeeze (Hu et al. 2018 use 16)


@dataclass(frozen=True)
class Architecture:
    """What defines the net: its stem (3x3: a convolution and 2x2 max pooling; 5x5: a convolution
    of stride 2, with no maps at full size), the channels and the residual blocks of each stage,
    and whether each block ends in squeeze-and-excitation."""

    stem: str
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    squeeze_excite: bool

    @property
    def convolved(self) -> int:
        """Weights in the 3x3 convolutions of its blocks: nearly all that it has."""
        total, channels_in = 0, self.channels[0]
        for channels, count in zip(self.channels, self.blocks, strict=True):
            total += 9 * channels * (channels_in + (2 * count - 1) * channels)
            channels_in = channels
        return total


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride,
        pad_mode="pad",
        padding=kernel // 2,
        has_bias=False,
    )


class Normalize(nn.Cell):
    """Grey values 0..255 -> zero mean and unit deviation over the Training split."""

    def __init__(self):
        super().__init__()
        self.mean = Parameter(
            Tensor(np.array([127.5], np.float32)), name="mean", requires_grad=False
        )
        self.deviation = Parameter(
            Tensor(np.array([64.0], np.float32)), name="deviation", requires_grad=False
        )

    def construct(self, faces):
        return (faces - self.mean) / self.deviation


class SqueezeExcite(nn.Cell):
    """Channel attention (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(channels // SQUEEZE_RATIO, 1)
        self.squeeze = nn.Dense(channels, squeezed)
        self.excite = nn.Dense(squeezed, channels)

    def construct(self, maps):
        weights = self.squeeze(ops.mean(maps, (2, 3)))
        weights = ops.sigmoid(self.excite(ops.relu(weights)))
        # -1 and not the batch's size, which an export would fix.
        return maps * ops.reshape(weights, (-1, maps.shape[1], 1, 1))


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions beside a shortcut (a 1x1 convolution where the shape changes)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, squeeze_excite: bool):
        super().__init__()
        self.conv1 = conv(channels_in, channels_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = conv(channels_out, channels_out, 3)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.attention = SqueezeExcite(channels_out) if squeeze_excite else nn.Identity()
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.SequentialCell(
                [conv(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out)]
            )

    def construct(self, maps):
        residual = ops.relu(self.bn1(self.conv1(maps)))
        residual = self.attention(self.bn2(self.conv2(residual)))
        return ops.relu(residual + self.shortcut(maps))


class ResNet(nn.Cell):
    """Faces (B,1,48,48) float32 in grey values 0..255 -> logits (B,7) float32.

    Faces of other sizes work too (the mean is global); the shapes below are those of 48x48.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        self.normalize = Normalize()
        channels, kernel = architecture.channels[0], KERNEL[architecture.stem]
        pooled = architecture.stem == "3x3"
        convolution = conv(1, channels, kernel, stride=1 if pooled else 2)
        self.stem = nn.SequentialCell([convolution, nn.BatchNorm2d(channels), nn.ReLU()])
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2) if pooled else nn.Identity()
        stages = []
        for index, (channels_out, count) in enumerate(
            zip(architecture.channels, architecture.blocks, strict=True)
        ):
            stage = []
            for block in range(count):
                stride = 2 if index > 0 and block == 0 else 1
                stage.append(
                    BasicBlock(channels, channels_out, stride, architecture.squeeze_excite)
                )
                channels = channels_out
            stages.append(nn.SequentialCell(stage))
        self.stages = nn.SequentialCell(stages)
        self.head = nn.Dense(channels, len(EMOTIONS))

    def features(self, faces):
        """The last stage's maps, (B,C,H,W): what Grad-CAM looks at."""
        maps = self.stem(self.normalize(faces))  # 3x3: (B, C0, 48, 48); 5x5: (B, C0, 24, 24)
        maps = self.pool(maps)  # (B, C0, 24, 24)
        return self.stages(maps)  # (B, C0, 24, 24), (B, C1, 12, 12), (B, C2, 6, 6), (B, C3, 3, 3)

    def classify(self, maps):
        """The last stage's maps (B,C,H,W) -> logits."""
        return self.head(ops.mean(maps, (2, 3)))  # (B, C) -> (B, 7)

    def construct(self, faces):
        return self.classify(self.features(faces))


def build_network(architecture: Architecture, seed: int) -> ResNet:
    """A net with weights drawn from ``seed``; see ``initial_values``."""
    network = ResNet(architecture)
    shapes = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    values = initial_values(shapes, seed)
    for parameter in network.get_parameters():
        if parameter.name in values:
            parameter.set_data(Tensor(values[parameter.name]))
    return network


def initial_values(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """First values, float32, of the parameters that do not start at MindSpore's 0 or 1.

    Convolutions: normal with variance 2/fan_out (He et al. 2015, arXiv:1502.01852). Dense
    kernels: uniform in +-1/sqrt(fan_in), biases zero. Batch-norm scales start at 1, those of the
    blocks' ends too: to start these at 0 (Goyal et al. 2017, arXiv:1706.02677) helps deep nets,
    but cost ours 2.6 points of accuracy after 5 epochs (PyTorch twin, FER2013, one seed).
    """
    rng = np.random.default_rng([seed, 0])
    values = {}
    for name, shape in shapes.items():
        if len(shape) == 4:
            deviation = np.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))
            values[name] = rng.normal(0.0, deviation, shape).astype(np.float32)
        elif len(shape) == 2:
            bound = 1.0 / np.sqrt(shape[1])
            values[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        elif name.endswith(".bias"):
            values[name] = np.zeros(shape, np.float32)
    return values


def architecture_of(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    """The architecture whose parameters have these names and shapes, or None when it is not ours.

    Only the defining shapes are read here; the caller compares all of them.
    """
    kernel = tuple(shapes.get("stem.0.weight", ())[1:])
    stem = next((name for name, side in KERNEL.items() if kernel == (1, side, side)), None)
    counts: dict[int, set[int]] = {}
    channels: dict[int, int] = {}
    for name, shape in shapes.items():
        if found := re.fullmatch(r"stages\.([0-9]{1,3})\.([0-9]{1,3})\.conv1\.weight", name):
            counts.setdefault(int(found[1]), set()).add(int(found[2]))
            channels[int(found[1])] = shape[0] if shape else 0
    stages = [counts.get(index, set()) for index in range(len(counts))]
    if stem is None or not stages:
        return None
    if any(blocks != set(range(len(blocks))) or not blocks for blocks in stages):
        return None
    return Architecture(
        stem,
        tuple(int(channels[index]) for index in range(len(stages))),
        tuple(len(blocks) for blocks in stages),
        "stages.0.0.attention.squeeze.weight" in shapes,
    )
