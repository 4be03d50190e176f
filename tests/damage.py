"""Random damages of a file's content."""

import numpy as np


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` cut short, with a bit flipped, with bytes overwritten, or with bytes put in."""
    kind, at = rng.integers(4), int(rng.integers(len(content)))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
    if kind == 2:
        length = int(rng.integers(1, 200))
        return content[:at] + rng.bytes(length) + content[at + length :]
    return content[:at] + rng.bytes(int(rng.integers(1, 50))) + content[at:]
