"""The real training step in the cases that the golden values are of."""

import numpy as np
from mindspore import Tensor

from ferspore.data.augment import smooth
from ferspore.network.distillation import DistillationStep, Teachers
from ferspore.network.precision import in_precision
from ferspore.network.resnet import Architecture, ResNet
from ferspore.network.schedule import learning_rate
from ferspore.network.step import EMA_PREFIX, Schedule, StepSettings, TrainStep
from tests.golden import cases


class Run:
    """A TrainStep of a case, compiled once; every ``train`` starts from the same fresh state."""

    def __init__(self, case: cases.StepCase, level: str = "O0", *, scaled: bool = False):
        """``level``: one of MindSpore's amp levels, with float16; it is scaled, as O0 can be."""
        self.smoothing = case.label_smoothing
        network = ResNet(
            Architecture("3x3", cases.STEP_CHANNELS, cases.STEP_BLOCKS, case.squeeze_excite)
        )
        settings = StepSettings(
            case.optimizer,
            case.momentum,
            case.weight_decay,
            case.ema_decay,
            scaled or level != "O0",
        )
        network = in_precision(network, level, "float16")
        schedule = Schedule(
            lambda step: learning_rate(
                step, peak=case.peak, warmup_steps=cases.WARMUP, total_steps=len(cases.RATES)
            ),
            len(cases.RATES),
        )
        nets = [ResNet(Architecture(*sizes, False)) for sizes in case.teachers]
        self.teachers = Teachers(nets, case.teacher_temperature) if nets else None
        if self.teachers is None:
            self.step = TrainStep(network, settings, schedule)
        else:
            weight = case.teacher_weight
            self.step = DistillationStep(network, settings, schedule, self.teachers, weight)
        self.step.set_train()
        self.fresh = self.state()

    def state(self) -> dict[str, np.ndarray]:
        return {p.name: p.asnumpy().copy() for p in self.step.get_parameters()}

    def reset(self, seed: int) -> None:
        for number, net in enumerate(self.teachers.networks if self.teachers else ()):
            own = {p.name.removeprefix(f"networks.{number}."): p for p in net.get_parameters()}
            shapes = {name: p.shape for name, p in own.items()}
            seed_of_net = cases.teacher_seed(number, seed)
            for name, value in cases.parameter_values(shapes, seed_of_net).items():
                own[name].set_data(Tensor(value))
        shapes = {p.name: p.shape for p in self.step.network.get_parameters()}
        values = cases.parameter_values(shapes, seed)
        for parameter in self.step.get_parameters():
            fresh = self.fresh[parameter.name]
            name = parameter.name.removeprefix(EMA_PREFIX)
            parameter.set_data(Tensor(values.get(name, fresh)))

    def train(self, seed: int) -> dict[str, np.ndarray]:
        """The state after all steps, and ``losses`` float32 of each."""
        self.reset(seed)
        batches = cases.step_batches(seed)
        losses = [self.take(faces, targets) for faces, targets in batches]
        return {"losses": np.array(losses)} | self.state()

    def take(self, faces: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """One step; its loss, a scalar."""
        loss = self.step(Tensor(faces), Tensor(smooth(targets, self.smoothing)))
        return loss.asnumpy().copy()
