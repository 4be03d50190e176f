"""The network against an independent PyTorch twin in float64: golden values, and live where
PyTorch is installed. Measured on MindSpore 2.8 (CPU), relative to the largest value of an array:
logits 4e-7, gradients 3e-5, batch statistics 4e-7 (six seeds).
"""

import math
from dataclasses import asdict

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from ferspore.network.resnet import (
    Architecture,
    ResNet,
    architecture_of,
    build_network,
    initial_values,
)
from tests.golden import cases
from tests.network.golden_net import Judge, shapes_of

TOLERANCE = {"logits": 2e-6, "loss": 2e-6, "gradient": 2e-4, "statistics": 2e-6}
OTHER_SEED = 2  # the golden values are of 1


@pytest.fixture(scope="module")
def twin():
    pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    from tests import torch_twin

    return torch_twin


@pytest.fixture(scope="module", params=cases.MODELS)
def judge(request) -> tuple[str, Judge]:
    return request.param, Judge(cases.MODELS[request.param])


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        difference = np.abs(found[name] - value).max() / np.abs(value).max()
        tolerance = TOLERANCE[name.partition(".")[0].partition("_")[0]]
        assert difference < tolerance, f"{name} differs by {difference:.1e} of its largest value"


def test_logits_gradients_and_batch_statistics_equal_the_golden_values(judge):
    name, found = judge
    assert_equal(found(seed=1), cases.load(name))


def test_logits_gradients_and_batch_statistics_equal_pytorch(twin, judge):
    name, found = judge
    assert_equal(found(OTHER_SEED), twin.judge(cases.MODELS[name], OTHER_SEED))


def test_golden_model_values_are_those_of_the_twin(twin):
    for name, case in cases.MODELS.items():
        assert_equal(twin.judge(case, seed=1), cases.load(name))


def test_the_head_reads_the_mean_of_the_features(judge):
    name, found = judge
    network = found.network
    found.set_values(seed=1)
    network.set_train(False)
    faces = cases.batch(found.case.faces, found.case.size, seed=1)[0]
    maps = network.features(Tensor(faces)).asnumpy()
    stages = len(found.case.blocks)
    side = found.case.size // 2**stages
    assert maps.shape == (len(faces), found.case.channels[-1], side, side)
    logits = maps.mean((2, 3)) @ network.head.weight.asnumpy().T + network.head.bias.asnumpy()
    assert_equal({"logits": logits}, {"logits": cases.load(name)["logits_eval"]})


def count_by_formula(architecture: Architecture) -> int:
    channels_in = architecture.channels[0]
    total = {"3x3": 9, "5x5": 25}[architecture.stem] * channels_in + 2 * channels_in
    for channels, count in zip(architecture.channels, architecture.blocks, strict=True):
        total += count * (2 * 9 * channels**2 + 4 * channels)
        if channels != channels_in:  # the first convolution is narrower, the shortcut is 1x1
            total += 9 * channels * (channels_in - channels) + channels_in * channels + 2 * channels
        if architecture.squeeze_excite:
            squeezed = channels // 8
            total += count * (2 * channels * squeezed + channels + squeezed)
        channels_in = channels
    return total + 7 * channels_in + 7


# torchvision's resnet18 has 11,689,512 parameters: ours has a 3x3 stem for one channel and 7
# classes.
COUNTS = [
    (Architecture("3x3", (32, 64, 128), (1, 1, 1), False), 307_687),
    (
        Architecture("3x3", (64, 128, 256, 512), (2, 2, 2, 2), False),
        11_689_512 - 9_408 + 576 - 513_000 + 3_591,
    ),
    (Architecture("3x3", (16, 32), (2, 1), True), None),
    (Architecture("5x5", (32, 64, 96), (2, 2, 1), False), 315_335),
]


@pytest.mark.parametrize(("architecture", "known"), COUNTS)
def test_the_number_of_trainable_values(architecture, known):
    network = ResNet(architecture)
    found = sum(p.size for p in network.trainable_params())
    assert found == count_by_formula(architecture)
    assert known in (None, found)
    names = [p.name for p in network.get_parameters() if not p.requires_grad]
    assert {n.rpartition(".")[2] for n in names} == {
        "moving_mean",
        "moving_variance",
        "mean",
        "deviation",
    }


@pytest.mark.parametrize("architecture", [architecture for architecture, _ in COUNTS])
def test_names_and_shapes_are_those_of_the_twin(twin, architecture):
    other = twin.Twin(**asdict(architecture))
    assert shapes_of(ResNet(architecture)) == twin.shapes_of(other)


def built(seed: int, global_seed: int) -> dict[str, np.ndarray]:
    ms.set_seed(global_seed)  # sets numpy's too
    network = build_network(Architecture("3x3", (8, 16), (1, 1), True), seed)
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def test_first_values_come_from_the_seed_alone():
    one, again, other = built(5, global_seed=1), built(5, global_seed=2), built(6, global_seed=1)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    kernels = [name for name, value in one.items() if value.ndim > 1]
    assert len(kernels) == 11
    assert not any(np.array_equal(one[name], other[name]) for name in kernels)


def test_drawing_first_values_leaves_the_global_stream_alone():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    initial_values({"head.weight": (7, 8)}, seed=1)
    assert np.random.rand() == expected


def test_vectors_start_at_their_neutral_values():
    starts = {"gamma": 1.0, "beta": 0.0, "bias": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
    starts |= {"mean": 127.5, "deviation": 64.0}
    vectors = {name: v for name, v in built(1, global_seed=1).items() if v.ndim == 1}
    for name, value in vectors.items():
        assert (value == starts[name.rpartition(".")[2]]).all(), name


def test_kernels_are_he_normal_and_dense_kernels_uniform():
    shapes = {
        "stem.0.weight": (64, 1, 3, 3),
        "stages.0.0.conv1.weight": (64, 32, 3, 3),
        "stages.1.0.shortcut.0.weight": (128, 64, 1, 1),
        "head.weight": (7, 512),
    }
    for name, value in initial_values(shapes, seed=1).items():
        shape = shapes[name]
        assert value.shape == shape
        assert value.dtype == np.float32
        bound = 1.0 / math.sqrt(shape[1])
        deviation = (
            math.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))
            if len(shape) == 4
            else (bound / math.sqrt(3.0))
        )
        spread = deviation / math.sqrt(value.size)
        assert abs(value.mean()) < 4 * spread, name
        assert abs(value.std() - deviation) < 4 * spread, name
        if len(shape) == 4:  # a normal has 68.27% within one deviation, a uniform 57.7%
            inside = (np.abs(value) < deviation).mean()
            assert abs(inside - 0.6827) < 4 * 0.4654 / math.sqrt(value.size), name
        else:
            assert 0.99 * bound < np.abs(value).max() <= np.float32(bound)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("3x3", (4,), (1,), False),
        Architecture("3x3", (4, 8, 16, 32), (1, 1, 1, 1), False),
        Architecture("3x3", (8, 16, 32), (2, 1, 3), True),
        Architecture("3x3", (16, 32), (1, 2), False),
        Architecture("5x5", (12, 8, 8), (1, 1, 2), False),
    ],
)
def test_the_architecture_is_read_back_from_the_shapes(architecture):
    shapes = shapes_of(ResNet(architecture))
    assert architecture_of(shapes) == architecture
    assert architecture_of(dict(reversed(shapes.items()))) == architecture


STEM = {"stem.0.weight": (8, 1, 3, 3)}
BLOCK = "stages.{}.{}.conv1.weight"


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 3, 3)},
        {f"ema.{name}": shape for name, shape in STEM.items()},
        STEM,
        {"stem.0.weight": (8,), BLOCK.format(0, 0): (8, 8, 3, 3)},
        STEM | {BLOCK.format(1, 0): (16, 8, 3, 3)},
        STEM | {BLOCK.format(0, 1): (8, 8, 3, 3)},
        STEM | {BLOCK.format(0, 0): (8, 8, 3, 3), BLOCK.format(2, 0): (32, 16, 3, 3)},
        STEM | {BLOCK.format(0, 0): (8, 8, 3, 3), BLOCK.format(0, 2): (8, 8, 3, 3)},
    ],
    ids=[
        "empty",
        "foreign",
        "prefixed",
        "no-block",
        "stem-rank",
        "no-stage-0",
        "no-block-0",
        "stage-gap",
        "block-gap",
    ],
)
def test_foreign_shapes_have_no_architecture(shapes):
    assert architecture_of(shapes) is None
