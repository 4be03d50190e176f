"""Mixed precision: the net in half precision, and a loss scale that follows the gradients.

float16 ends at 65,504 and loses what is below 6e-8, so the loss is multiplied by a scale that
keeps the gradients in between (Micikevicius et al. 2018, arXiv:1710.03740). bfloat16 has the range
of float32 and needs none.
"""

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.amp import auto_mixed_precision

DTYPES = {"float16": mstype.float16, "bfloat16": mstype.bfloat16}
FIRST, LEAST, FACTOR = 65536.0, 1.0, 2.0  # powers of two: scaling rounds nothing
SCALE_PREFIX = "loss_scale."  # of the names of its parameters
WINDOW = 2000  # steps without an overflow before the scale is raised
SKIPPED = -1.0  # in place of the loss of a step that was skipped: no cross-entropy is below 0


def in_precision(network: nn.Cell, level: str, dtype: str) -> nn.Cell:
    """``network`` at an amp level of MindSpore: O0 (float32: as it is), O2 (batch-norm stays
    float32) or O3, with a key of DTYPES.

    Its parameters stay float32 and keep their names; its logits are float32.
    """
    return auto_mixed_precision(network, level, DTYPES[dtype])


class LossScale(nn.Cell):
    """Whether the gradients of a step were finite -> the scale of the next step.

    Halved, but not below LEAST, where they were not; doubled after WINDOW steps where they were.
    Scale and count are parameters, and so a part of each snapshot.
    """

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.scale = _state(FIRST, mstype.float32, "scale")
        self.finite_steps = _state(0, mstype.int32, "finite_steps")

    def construct(self, finite):
        steps = ops.select(finite, self.finite_steps + 1, ops.zeros_like(self.finite_steps))
        raised = steps >= WINDOW
        kept = ops.select(raised, self.scale * FACTOR, self.scale + 0.0)
        lowered = ops.maximum(self.scale / FACTOR, LEAST)
        scale = ops.assign(self.scale, ops.select(finite, kept, lowered))
        steps = ops.select(raised, ops.zeros_like(steps), steps)
        return ops.depend(scale, ops.assign(self.finite_steps, steps))


def _state(value, dtype, name: str) -> Parameter:
    return Parameter(Tensor(value, dtype), name=SCALE_PREFIX + name, requires_grad=False)
