"""The loss scale, and steps in float16: taken, or skipped without a trace."""

import numpy as np
import pytest
from mindspore import Tensor

from ferspore.network.precision import FIRST, SKIPPED, WINDOW, LossScale
from tests.golden import cases
from tests.network.golden_step import Run

# Of the largest value of an array, after five steps: float16 keeps 11 bits.
HALF_PRECISION = 0.02


class Scale:
    """A LossScale whose parameters can be set and read."""

    def __init__(self):
        self.cell = LossScale()

    def after(self, finite: bool, scale: float, steps: int) -> tuple[float, int]:
        self.cell.scale.set_data(Tensor(np.float32(scale)))
        self.cell.finite_steps.set_data(Tensor(np.int32(steps)))
        self.cell(Tensor(finite))
        return float(self.cell.scale.asnumpy()), int(self.cell.finite_steps.asnumpy())


@pytest.fixture(scope="module")
def scale() -> Scale:
    return Scale()


@pytest.mark.parametrize(
    ("finite", "before", "expected"),
    [
        (True, (FIRST, 0), (FIRST, 1)),
        (True, (FIRST, WINDOW - 2), (FIRST, WINDOW - 1)),
        (True, (FIRST, WINDOW - 1), (2 * FIRST, 0)),
        (False, (FIRST, 5), (FIRST / 2, 0)),
        (False, (FIRST, WINDOW - 1), (FIRST / 2, 0)),
        (False, (2.0, 5), (1.0, 0)),
        (False, (1.0, 5), (1.0, 0)),
        (True, (1.0, 5), (1.0, 6)),
    ],
)
def test_the_scale_falls_at_an_overflow_and_rises_after_a_window(scale, finite, before, expected):
    assert scale.after(finite, *before) == expected


@pytest.fixture(scope="module")
def half() -> Run:
    return Run(cases.STEPS["step_adamw"], "O2")


def test_float16_comes_near_the_golden_values(half):
    found, golden = half.train(seed=1), cases.load("step_adamw")
    assert found["loss_scale.scale"] == FIRST and found["loss_scale.finite_steps"] == 5
    for name in ("losses", "stages.1.0.bn2.moving_mean", "ema.stages.1.0.bn2.moving_variance"):
        difference = np.abs(found[name] - golden[name]).max() / np.abs(golden[name]).max()
        assert 0.0 < difference < HALF_PRECISION, name


def after_one_step(run: Run, scale: float, *, face: float | None = None):
    """Loss of the second step, at ``scale``, and the names of what it changed. ``face``: the value
    of every pixel."""
    run.reset(seed=1)
    (first, targets), (faces, other) = cases.step_batches(1)[:2]
    run.take(first, targets)
    run.step.loss_scale.scale.set_data(Tensor(np.float32(scale)))
    before = run.state()
    loss = run.take(faces if face is None else np.full_like(faces, face), other)
    after = run.state()
    return loss, {name for name in after if not np.array_equal(after[name], before[name])}, after


@pytest.mark.parametrize("face", [None, np.nan])
def test_a_step_that_overflows_changes_nothing_but_its_number_and_the_scale(half, face):
    """The forward pass of a NaN spoils the batch statistics, until it is taken back."""
    loss, changed, state = after_one_step(half, 2.0**100, face=face)
    assert loss == SKIPPED
    assert changed == {"global_step", "loss_scale.scale", "loss_scale.finite_steps"}
    assert state["loss_scale.scale"] == 2.0**99 and state["global_step"] == 2


def test_a_step_that_overflows_at_the_least_scale_has_a_loss_that_is_not_finite(half):
    loss, changed, _ = after_one_step(half, 1.0, face=np.nan)
    assert np.isnan(loss)
    assert changed == {"global_step", "loss_scale.finite_steps"}


def test_a_step_after_one_that_was_skipped_is_taken(half):
    after_one_step(half, 2.0**100)
    half.step.loss_scale.scale.set_data(Tensor(np.float32(FIRST)))
    before = half.state()
    assert half.take(*cases.step_batches(1)[2]) > 0.0
    after = half.state()
    assert not np.array_equal(after["head.weight"], before["head.weight"])
    assert all(np.isfinite(value).all() for value in after.values())
