"""What is said of a net that is not the one expected."""

import pytest

from ferspore.evaluation.differences import architecture_differences, network_differences
from ferspore.network.resnet import Architecture, ResNet

SMALL = Architecture("3x3", (8, 16), (1, 1), False)


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (SMALL, []),
        (Architecture("3x3", (32, 64), (1, 1), False), ["model.width is 32 there, 8 here"]),
        (Architecture("3x3", (8, 24), (1, 1), False),
         ["model.channels is [8, 24] there, [8, 16] here"]),
        (Architecture("5x5", (8, 16, 32), (1, 1, 2), True),
         ["model.stem is 5x5 there, 3x3 here", "model.blocks is [1, 1, 2] there, [1, 1] here",
          "model.squeeze_excite is true there, false here"]),
    ],
)  # fmt: skip
def test_the_keys_that_differ_are_named(there, told):
    assert architecture_differences(SMALL, there) == told


def test_the_first_tensors_are_named_and_the_others_counted():
    here = {p.name: p.shape for p in ResNet(SMALL).get_parameters()}
    there = {name: tuple(2 * n for n in shape) for name, shape in here.items()}
    lines = network_differences(here, there)  # stems of no known kernel: no keys
    assert lines[0] == "normalize.mean has the shape (2,), expected (1,)"
    assert lines[3:] == [f"and {len(here) - 3} more"]
    assert network_differences(here, here) == []
