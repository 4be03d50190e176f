"""Loss, optimizer and moving average: the training step as one Cell."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.amp import all_finite
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from ferspore.network.parallel import Across
from ferspore.network.precision import LEAST, SKIPPED, LossScale

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


_copy = ops.MultitypeFuncGraph("copy")


@_copy.register("Tensor")
def _copy_one(value):
    return ops.deepcopy(value)


_keep = ops.MultitypeFuncGraph("keep")


@_keep.register("Tensor", "Tensor", "Tensor")
def _keep_one(condition, parameter, before):
    return ops.assign(parameter, ops.select(condition, parameter, before))


@dataclass(frozen=True)
class StepSettings:
    """Plain values of a step; ``ema_decay`` 0 switches the moving average off, ``scaled`` the
    loss scale on, which float16 needs."""

    optimizer: str
    momentum: float
    weight_decay: float
    ema_decay: float
    scaled: bool = False


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


def _outlasts(name: str) -> bool:
    """Whether a parameter of the step is left as it is when a step is taken back."""
    return name == "global_step" or name.startswith("normalize.")


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

    Faces are grey values 0..255, uint8 or float32, with the same bits; ``targets`` are what the
    loss takes beside the logits, one tensor or more.
    SGD is PyTorch's: ``v = m v + g + wd w; w -= lr (g + wd w + m v)``. AdamW decays first,
    ``w -= lr wd w``, then takes Adam's step (Loshchilov & Hutter 2019, arXiv:1711.05101) as
    MindSpore's ``nn.Adam`` has it: ``lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + 1e-8)``.
    After the optimizer, weights and batch statistics flow into their moving averages with
    ``decay = min(ema_decay, (1 + t) / (10 + t))``, t the 0-based global step.

    With a loss scale, a step whose loss or gradients are not finite is skipped: weights, batch
    statistics, moments and averages stay as they were, the global step counts it (the learning
    rate follows the batches), the scale is lowered, and SKIPPED is returned. At the least scale
    nothing helps any more: the step returns a loss that is not finite.
    """

    loss_scale: LossScale  # only where the settings ask for it

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
        self.scaled = settings.scaled
        state = [p for p in self.get_parameters() if not _outlasts(p.name)]
        self.state = ParameterTuple(state if self.scaled else [])
        if self.scaled:
            self.loss_scale = LossScale()
        self.across = across

    def __call__(self, *inputs):
        if self.across is None:
            return super().__call__(*inputs)
        vote = self.across.vote
        loss, votes = super().__call__(*inputs, vote.ballot())
        vote.count(votes)
        return loss

    def forward(self, faces, *targets):
        loss = self.loss(self.network(ops.cast(faces, mstype.float32)), *targets)
        return loss * self.loss_scale.scale if self.scaled else loss

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
        if self.scaled:
            return self.guarded(faces, targets)
        loss, gradients = self.gradients_of(faces, targets)
        return ops.depend(loss, self.update(gradients))

    def guarded(self, faces, targets):
        """The step with a loss scale: it is taken, and taken back if it overflowed.

        There is no branch in the graph: nothing waits for the device, and inside a branch MindSpore
        2.8 goes on with the values from before a ``set_data`` (docs/mindspore.md).
        """
        scale = ops.deepcopy(self.loss_scale.scale)
        before = self.hyper_map(_copy, self.state)
        faces = ops.depend(faces, (scale, before))  # the forward pass moves the batch statistics
        loss, gradients = self.gradients_of(faces, targets)
        loss = loss / scale
        gradients = self.hyper_map(ops.partial(_unscale, scale), gradients)
        finite = ops.logical_and(all_finite(gradients), ops.isfinite(loss))
        if self.across is not None:
            # Gradients are means over all ranks, but the first Ascend 910 saturates, and there
            # all_finite reads a flag of its own device.
            finite = self.across.all(finite)
        finite = ops.depend(finite, self.update(gradients))
        kept = self.hyper_map(ops.partial(_keep, finite), self.state, before)
        loss = ops.select(finite, loss, self.loss_of_skipped(loss, scale))
        return ops.depend(loss, (kept, self.loss_scale(finite)))

    def loss_of_skipped(self, loss, scale):
        hopeless = ops.select(ops.isfinite(loss), ops.full_like(loss, math.nan), loss)
        return ops.select(scale > LEAST, ops.full_like(loss, SKIPPED), hopeless)

    def update(self, gradients):
        """Optimizer, then moving average; what it returns is to be depended on."""
        step = ops.cast(self.optimizer.global_step, mstype.float32) + 0.0
        if self.decoupled:
            rate = self.schedule(self.optimizer.global_step)
            factor = 1.0 - rate * self.weight_decay
            shrunk = self.hyper_map(ops.partial(_shrink, factor), self.kernels)
            gradients = ops.depend(gradients, shrunk)
        done = self.optimizer(gradients)
        if self.averaged:
            ramp = (1.0 + step) / (10.0 + step)
            decay = ops.reshape(ops.minimum(ramp, self.ema_decay), ())
            decay = ops.depend(decay, done)
            done = self.hyper_map(ops.partial(_blend, decay), self.averages, self.tracked)
        return done


def current_weights(step: TrainStep) -> dict[str, np.ndarray]:
    """What is evaluated and kept as the best model: every parameter of the net by its name,
    the moving average in place of the weights where it is on. Copies, as float32 arrays."""
    values = {p.name: p.asnumpy().copy() for p in step.network.get_parameters()}
    for average in step.averages:
        values[average.name.removeprefix(EMA_PREFIX)] = average.asnumpy().copy()
    return values
