"""The training step against an independent PyTorch twin in float64: golden values, and live where
PyTorch is installed. Measured on MindSpore 2.8 (CPU) after five steps, relative to the largest
value of an array: SGD 1e-6 (momentum 8e-6), AdamW 4e-5 (moments 2e-5), losses 1e-6 (six seeds).
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from ferspore.network.schedule import learning_rate
from ferspore.network.step import (
    EMA_PREFIX,
    Schedule,
    StepSettings,
    build_optimizer,
    current_weights,
)
from tests.golden import cases
from tests.network.golden_step import Run

MOMENTS = {"momentum_buffer": "accum", "exp_avg": "moment1", "exp_avg_sq": "moment2"}
# Adam divides by the root of the second moment: the rounding of a gradient near zero stays whole.
TOLERANCE = {"sgd": 5e-6, "adamw": 2e-4}
MOMENT_TOLERANCE = 1e-4
OTHER_SEED = 2  # the golden values are of 1


@pytest.fixture(scope="module")
def twin():
    pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    from tests import torch_twin

    return torch_twin


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {name: Run(case) for name, case in cases.STEPS.items()}


@pytest.fixture(scope="module")
def sgd_state(runs) -> dict[str, np.ndarray]:
    return runs["step_sgd"].train(seed=1)


def assert_equal(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], case: cases.StepCase
) -> None:
    for name, value in expected.items():
        kind, _, weight = name.partition(".")
        is_moment = kind in MOMENTS
        own = f"{MOMENTS[kind]}.{weight}" if is_moment else name
        difference = np.abs(found[own] - value).max() / np.abs(value).max()
        tolerance = MOMENT_TOLERANCE if is_moment else TOLERANCE[case.optimizer]
        assert difference < tolerance, f"{own} differs by {difference:.1e} of its largest value"


@pytest.mark.parametrize(("name", "case"), cases.STEPS.items(), ids=cases.STEPS)
def test_losses_weights_moments_and_averages_equal_the_golden_values(runs, name, case):
    found, golden = runs[name].train(seed=1), cases.load(name)
    assert_equal(found, golden, case)
    averages = {n for n in golden if n.startswith(EMA_PREFIX)}
    assert {n for n in found if n.startswith(EMA_PREFIX)} == averages
    assert bool(averages) == (case.ema_decay > 0.0)


@pytest.mark.parametrize(("name", "case"), cases.STEPS.items(), ids=cases.STEPS)
def test_losses_weights_moments_and_averages_equal_pytorch(twin, runs, name, case):
    assert_equal(runs[name].train(OTHER_SEED), twin.train(case, OTHER_SEED), case)


@pytest.mark.parametrize(("name", "case"), cases.STEPS.items(), ids=cases.STEPS)
def test_golden_step_values_are_those_of_the_twin(twin, name, case):
    golden, again = cases.load(name), twin.train(case, seed=1)
    assert golden.keys() == again.keys()
    for key, value in golden.items():
        np.testing.assert_allclose(again[key], value, rtol=1e-5, atol=1e-8, err_msg=key)


def test_teachers_are_no_part_of_the_step_and_never_change(runs, sgd_state):
    run = runs["step_taught"]
    assert run.train(seed=1).keys() == sgd_state.keys()
    run.step.set_train()
    assert not any(cell.training for _, cell in run.teachers.cells_and_names())
    for parameter in run.teachers.get_parameters():
        _, number, name = parameter.name.split(".", 2)
        seed = cases.teacher_seed(int(number), 1)
        (value,) = cases.parameter_values({name: parameter.shape}, seed).values()
        assert np.array_equal(parameter.asnumpy(), value), parameter.name


def test_one_process_repeats_itself_bit_for_bit(runs, sgd_state):
    again = runs["step_sgd"].train(seed=1)
    assert again.keys() == sgd_state.keys()
    assert all(np.array_equal(again[name], sgd_state[name]) for name in sgd_state)


def test_the_faces_mean_and_deviation_never_change(runs):
    for run in runs.values():
        state = run.train(seed=1)
        assert state["normalize.mean"] == 120.0
        assert state["normalize.deviation"] == 60.0
        assert "ema.normalize.mean" not in state


def test_a_loss_scale_changes_nothing(sgd_state):
    scaled = Run(cases.STEPS["step_sgd"], scaled=True).train(seed=1)
    assert scaled.keys() - sgd_state.keys() == {"loss_scale.scale", "loss_scale.finite_steps"}
    for name, value in sgd_state.items():
        assert np.array_equal(scaled[name], value), name  # a power of two rounds nothing


def test_current_weights_are_the_averages_under_the_names_of_the_net(runs):
    state = runs["step_sgd"].train(seed=1)
    found = current_weights(runs["step_sgd"].step)
    assert found.keys() == {p.name for p in runs["step_sgd"].step.network.get_parameters()}
    for name, value in found.items():
        assert value.dtype == np.float32
        source = name if name.startswith("normalize.") else f"{EMA_PREFIX}{name}"
        assert np.array_equal(value, state[source]), name
    assert not np.array_equal(found["head.weight"], state["head.weight"])


def test_current_weights_without_averages_are_the_weights(runs):
    state = runs["step_no_momentum"].train(seed=1)
    found = current_weights(runs["step_no_momentum"].step)
    assert all(np.array_equal(value, state[name]) for name, value in found.items())


@pytest.mark.parametrize("name", ["step_sgd", "step_no_momentum"])
def test_current_weights_are_copies(runs, name):
    run = runs[name]
    run.reset(seed=1)
    before = current_weights(run.step)
    kept = {key: value.copy() for key, value in before.items()}
    run.step(*map(Tensor, cases.step_batches(1)[0]))
    assert all(np.array_equal(before[key], kept[key]) for key in kept)
    after = current_weights(run.step)
    after["head.weight"][:] = 0.0
    assert current_weights(run.step)["head.weight"].any()


def test_adam_adds_epsilon_before_the_bias_correction():
    """With a gradient of 1e-7, epsilon 1e-8 outweighs the second moment's root, 3.2e-9: MindSpore
    steps by 0.240 of the rate ("epsilon hat"), where PyTorch's AdamW steps by 0.909."""
    layer = nn.Dense(1, 1, has_bias=False)
    layer.weight.set_data(Tensor([[0.0]], ms.float32))
    settings = StepSettings("adamw", 0.9, 0.0, 0.0)
    optimizer = build_optimizer(layer, settings, Schedule(lambda _: 0.1, 1))
    optimizer((Tensor([[1e-7]], ms.float32),))
    gradient, epsilon = 1e-7, 1e-8
    root = np.sqrt(0.001) * gradient
    expected = -0.1 * np.sqrt(0.001) / 0.1 * (0.1 * gradient) / (root + epsilon)
    np.testing.assert_allclose(layer.weight.asnumpy(), [[expected]], rtol=1e-4)


def test_the_schedule_in_the_graph_is_the_pure_function():
    def rate(step: int) -> float:
        return learning_rate(step, peak=0.3, warmup_steps=4, total_steps=12)

    schedule = Schedule(rate, 12)
    step = Parameter(Tensor([0], ms.int32), name="global_step")
    for number in range(15):  # three past the end
        step.set_data(Tensor([number], ms.int32))
        found = schedule(step)
        assert found.shape == ()
        assert found.asnumpy() == np.float32(rate(number))
