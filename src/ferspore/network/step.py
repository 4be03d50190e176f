"""Loss, optimizer and moving average: the training step as one Cell."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from ferspore.network.parallel import Across

EMA_PREFIX = "ema."

_blend = ops.MultitypeFuncGraph("blend")


@_blend.register("Tensor", "Tensor", "Tensor")
def _blend_one(decay, average, value):
    return ops.assign(average, average + (1.0 - decay) * (value - average))


_shrink = ops.MultitypeFuncGraph("shrink")


@_shrink.register("Tensor", "Tensor")
def _shrink_one(factor, weight):
    return ops.assign(weight, weight * factor)


_unscale = ops.MultitypeFuncGraph("unscale")


@_unscale.register("Tensor", "Tensor")
def _unscale_one(scale, gradient):
    return gradient / scale


@dataclass(frozen=True)
class StepSettings:
    """Plain values of a step; ``ema_decay`` 0 switches the moving average off."""

    optimizer: str
    momentum: float
    weight_decay: float
    ema_decay: float
    loss_scale: float = 1.0


class Schedule(LearningRateSchedule):
    """Global step -> learning rate inside the graph.

    The rates are a constant of the graph, computed by a pure function; they are no parameter,
    so no checkpoint carries them and a longer run simply gets another constant.
    """

    def __init__(self, rate: Callable[[int], float], total_steps: int):
        super().__init__()
        self.rates = Tensor(np.array([rate(step) for step in range(total_steps)], np.float32))
        self.last = total_steps - 1

    def construct(self, global_step):
        index = ops.minimum(ops.cast(global_step, mstype.int32), self.last)
        return ops.reshape(ops.gather(self.rates, ops.reshape(index, (1,)), 0), ())


class SoftTargetLoss(nn.Cell):
    """Mean cross-entropy of logits (B,7) against soft targets (B,7)."""

    def construct(self, logits, targets):
        logits = ops.cast(logits, mstype.float32)
        return -ops.mean(ops.reduce_sum(targets * ops.log_softmax(logits, -1), -1))


def is_decayed(parameter: Parameter) -> bool:
    """Weight decay is for kernels: biases and batch-norm scales and shifts are vectors."""
    return parameter.ndim > 1


def build_optimizer(network: nn.Cell, settings: StepSettings, schedule: Schedule) -> nn.Optimizer:
    """SGD with Nesterov momentum, or Adam's part of AdamW (its decay is the step's work)."""
    weights = network.trainable_params()
    if settings.optimizer == "adamw":
        return nn.Adam(weights, schedule, beta1=settings.momentum, beta2=0.999)
    groups = [
        {"params": [p for p in weights if is_decayed(p)], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if not is_decayed(p)], "weight_decay": 0.0},
        {"order_params": weights},
    ]
    # Not nn.Momentum: on the CPU of MindSpore 2.8 it takes use_nesterov and does not use it.
    return nn.SGD(groups, schedule, settings.momentum, nesterov=settings.momentum > 0.0)


class TrainStep(nn.Cell):
    """Faces (B,1,48,48), targets (B,7) -> loss, a scalar; updates everything that is state.

    ``targets`` are what the loss takes beside the logits, one tensor or more.
    SGD is PyTorch's: ``v = m v + g + wd w; w -= lr (g + wd w + m v)``. AdamW decays first,
    ``w -= lr wd w``, then takes Adam's step (Loshchilov & Hutter 2019, arXiv:1711.05101) as
    MindSpore's ``nn.Adam`` has it: ``lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + 1e-8)``.
    After the optimizer, weights and batch statistics flow into their moving averages with
    ``decay = min(ema_decay, (1 + t) / (10 + t))``, t the 0-based global step.
    """

    def __init__(
        self,
        network: nn.Cell,
        settings: StepSettings,
        schedule: Schedule,
        loss: nn.Cell | None = None,
        across: Across | None = None,
    ):
        """``loss``: a `SoftTargetLoss` if not given; ``across``: where several ranks train."""
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = SoftTargetLoss() if loss is None else loss
        self.optimizer = build_optimizer(network, settings, schedule)
        self.weights = ParameterTuple(network.trainable_params())
        self.grad = ops.value_and_grad(self.forward, None, self.weights)
        self.loss_scale = Tensor(settings.loss_scale, mstype.float32)
        self.scaled = settings.loss_scale != 1.0
        self.schedule = schedule
        self.decoupled = settings.optimizer == "adamw" and settings.weight_decay > 0.0
        self.weight_decay = settings.weight_decay
        self.kernels = ParameterTuple([p for p in self.weights if is_decayed(p)])
        self.ema_decay = settings.ema_decay
        self.averaged = settings.ema_decay > 0.0
        tracked = [p for p in network.get_parameters() if not p.name.startswith("normalize.")]
        self.tracked = ParameterTuple(tracked if self.averaged else [])
        self.averages = self.tracked.clone(prefix=EMA_PREFIX[:-1], init="same")
        for average in self.averages:
            average.requires_grad = False
        self.hyper_map = ops.HyperMap()
        self.across = across

    def __call__(self, *inputs):
        if self.across is None:
            return super().__call__(*inputs)
        vote = self.across.vote
        loss, votes = super().__call__(*inputs, vote.ballot())
        vote.count(votes)
        return loss

    def forward(self, faces, *targets):
        loss = self.loss(self.network(faces), *targets)
        return loss * self.loss_scale if self.scaled else loss

    def construct(self, faces, *targets):
        if self.across is None:
            return self.take(faces, targets)
        loss = self.take(faces, targets[:-1])
        return loss, self.across.votes(loss, targets[-1])

    def gradients_of(self, faces, targets):
        """Loss and gradients, averaged over all ranks."""
        loss, gradients = self.grad(faces, *targets)
        return (loss, gradients) if self.across is None else self.across(loss, gradients)

    def take(self, faces, targets):
        step = ops.cast(self.optimizer.global_step, mstype.float32) + 0.0
        loss, gradients = self.gradients_of(faces, targets)
        if self.scaled:
            loss = loss / self.loss_scale
            gradients = self.hyper_map(ops.partial(_unscale, self.loss_scale), gradients)
        if self.decoupled:
            rate = self.schedule(self.optimizer.global_step)
            factor = 1.0 - rate * self.weight_decay
            loss = ops.depend(loss, self.hyper_map(ops.partial(_shrink, factor), self.kernels))
        loss = ops.depend(loss, self.optimizer(gradients))
        if self.averaged:
            ramp = (1.0 + step) / (10.0 + step)
            decay = ops.reshape(ops.minimum(ramp, self.ema_decay), ())
            blended = self.hyper_map(ops.partial(_blend, decay), self.averages, self.tracked)
            loss = ops.depend(loss, blended)
        return loss


def current_weights(step: TrainStep) -> dict[str, np.ndarray]:
    """What is evaluated and kept as the best model: every parameter of the net by its name,
    the moving average in place of the weights where it is on. Copies, as float32 arrays."""
    values = {p.name: p.asnumpy().copy() for p in step.network.get_parameters()}
    for average in step.averages:
        values[average.name.removeprefix(EMA_PREFIX)] = average.asnumpy().copy()
    return values
