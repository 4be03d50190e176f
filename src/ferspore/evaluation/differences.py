"""How the net in a file differs from the one that is to take its weights, in words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ferspore.network.resnet import Architecture, architecture_of

Shapes = Mapping[str, tuple[int, ...]]  # of a net's parameters, by name

SHOWN = 3  # tensors that are named


def network_differences(
    expected: Shapes, received: Shapes, tensors: Sequence[str] | None = None
) -> list[str]:
    """One line for each key of the configuration that differs, then the first of ``tensors``, by
    default those of ``shape_differences``; none where the two are of one net."""
    lines = shape_differences(expected, received) if tensors is None else list(tensors)
    here, there = architecture_of(expected), architecture_of(received)
    keys = [] if here is None or there is None else architecture_differences(here, there)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*keys, *lines[:SHOWN], *more]


def architecture_differences(here: Architecture, there: Architecture) -> list[str]:
    """Such as "model.width is 8 there, 32 here"."""
    by_width = _doubles(here) and _doubles(there)
    ours, theirs = _keys(here, by_width), _keys(there, by_width)
    return [
        f"model.{key} is {_shown(theirs[key])} there, {_shown(ours[key])} here"
        for key in ours
        if ours[key] != theirs[key]
    ]


def _doubles(architecture: Architecture) -> bool:
    first, *others = architecture.channels
    return others == [first * 2**stage for stage in range(1, len(others) + 1)]


def _keys(architecture: Architecture, by_width: bool) -> dict[str, Any]:
    channels = architecture.channels
    return {
        "stem": architecture.stem,
        **({"width": channels[0]} if by_width else {"channels": channels}),
        "blocks": architecture.blocks,
        "squeeze_excite": architecture.squeeze_excite,
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def shape_differences(expected: Shapes, received: Shapes) -> list[str]:
    """One line for each name that is missing, unexpected, or has another shape."""
    return [
        *(f"{name} {expected[name]} is missing" for name in expected if name not in received),
        *(f"{name} {received[name]} is not expected" for name in received if name not in expected),
        *(
            f"{name} has the shape {received[name]}, expected {expected[name]}"
            for name in expected
            if name in received and tuple(received[name]) != tuple(expected[name])
        ),
    ]
