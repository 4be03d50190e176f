"""The real network in the cases that the golden values are of."""

import numpy as np
from mindspore import Tensor, nn

from ferspore.data.augment import smooth
from ferspore.network.resnet import Architecture, ResNet
from ferspore.network.step import Schedule, StepSettings, TrainStep
from tests.golden import cases


def shapes_of(network: nn.Cell) -> dict[str, tuple[int, ...]]:
    return {p.name: p.shape for p in network.get_parameters()}


class Gradients(nn.Cell):
    """The real step's loss and gradients, without its update."""

    def __init__(self, step: TrainStep):
        super().__init__(auto_prefix=False)
        self.step = step

    def construct(self, faces, targets):
        return self.step.grad(faces, targets)


class Judge:
    """MindSpore's answers to what ``torch_twin.judge`` answers; compiled once for all seeds."""

    def __init__(self, case: cases.ModelCase):
        self.case = case
        self.network = ResNet(
            Architecture(case.stem, case.channels, case.blocks, case.squeeze_excite)
        )
        settings = StepSettings("sgd", 0.9, 0.0, ema_decay=0.0)
        self.gradients = Gradients(TrainStep(self.network, settings, Schedule(lambda _: 0.1, 1)))

    def set_values(self, seed: int) -> None:
        values = cases.parameter_values(shapes_of(self.network), seed)
        for parameter in self.network.get_parameters():
            parameter.set_data(Tensor(values[parameter.name]))

    def __call__(self, seed: int) -> dict[str, np.ndarray]:
        faces, targets = cases.batch(self.case.faces, self.case.size, seed)
        faces, targets = Tensor(faces), Tensor(smooth(targets, self.case.label_smoothing))
        half = self.case.size // 2
        self.set_values(seed)
        self.network.set_train(False)
        found = {
            "logits_eval": self.network(faces),
            "logits_eval_half": self.network(faces[:, :, :half, :half]),
        }
        self.network.set_train(True)
        found["logits_train"] = self.network(faces)
        self.set_values(seed)
        found["loss"], gradients = self.gradients(faces, targets)
        weights = self.network.trainable_params()
        found |= {f"gradient.{p.name}": g for p, g in zip(weights, gradients, strict=True)}
        for parameter in self.network.get_parameters():
            if ".moving_" in parameter.name:
                found[f"statistics.{parameter.name}"] = parameter
        return {name: value.asnumpy().copy() for name, value in found.items()}
