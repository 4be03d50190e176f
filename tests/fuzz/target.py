"""What a reader of foreign files is to the fuzzer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.mutation import Change

Structured = Callable[[bytes, Random, Change], bytes]


@dataclass(frozen=True)
class Target:
    """``read`` is given a file's bytes and a folder of its own; ``refusals`` are the errors that it
    may raise. ``structured``: a change below checksums; ``tokens``: words of the format."""

    read: Callable[[bytes, Path], None]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]
    structured: Structured | None = None
    tokens: tuple[bytes, ...] = ()


def placed(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
