"""Learning from the predictions of trained nets as well as from the labels (knowledge distillation:
Hinton et al. 2015, arXiv:1503.02531).

The teachers see the batch that the student sees, augmentation and mixup included (Beyer et al.
2022, arXiv:2106.05237). They answer in a graph of their own, and their answer is an input of the
training step: no gradient reaches them, their batch statistics cannot move, and none of their
parameters is a parameter of the step.
"""

from collections.abc import Sequence

from mindspore import dtype as mstype
from mindspore import nn, ops

from ferspore.network.parallel import Across
from ferspore.network.step import Schedule, SoftTargetLoss, StepSettings, TrainStep


class Teachers(nn.Cell):
    """Faces (B,1,H,W) in grey values -> mean over the teachers of softmax(logits / temperature),
    float32 (B,7)."""

    def __init__(self, networks: Sequence[nn.Cell], temperature: float):
        """``networks`` are taken over: their parameters get new names."""
        super().__init__()
        self.networks = nn.CellList(networks)
        self.temperature = temperature
        self.set_train(False)

    def construct(self, faces):
        faces = ops.cast(faces, mstype.float32)
        total = 0.0
        for network in self.networks:
            total = total + ops.softmax(network(faces) / self.temperature, -1)
        return total / len(self.networks)


class DistillationLoss(nn.Cell):
    """Logits (B,7), soft targets (B,7), the teachers' probabilities (B,7) -> a scalar:
    ``(1 - weight) H(targets, softmax(logits)) + weight T^2 H(taught, softmax(logits / T))``,
    H the mean cross-entropy, T the temperature. T^2 keeps the gradient's size independent of T.
    """

    def __init__(self, weight: float, temperature: float):
        super().__init__()
        self.cross_entropy = SoftTargetLoss()
        self.temperature = temperature
        self.share_of_targets = 1.0 - weight
        self.share_of_teachers = weight * temperature**2

    def construct(self, logits, targets, taught):
        logits = ops.cast(logits, mstype.float32)
        own = self.cross_entropy(logits, targets)
        learned = self.cross_entropy(logits / self.temperature, taught)
        return self.share_of_targets * own + self.share_of_teachers * learned


class DistillationStep(TrainStep):
    """A `TrainStep` that asks ``teachers`` about each batch before it trains on it."""

    def __init__(
        self,
        network: nn.Cell,
        settings: StepSettings,
        schedule: Schedule,
        teachers: Teachers,
        weight: float,
        across: Across | None = None,
    ):
        loss = DistillationLoss(weight, teachers.temperature)
        super().__init__(network, settings, schedule, loss, across)
        # A method and not the Cell, which would become a part of the step: Model.train would set it
        # to training mode, and snapshots would hold its parameters.
        self.taught = teachers.__call__

    def __call__(self, faces, targets):
        return super().__call__(faces, targets, self.taught(faces))
