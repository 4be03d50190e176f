"""Whether an exported file answers as its checkpoint; only then it takes its place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferspore import files
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.probes import probes
from ferspore.export.onnx_model import as_input
from ferspore.export.source import Source

LIMIT = 1e-5  # largest difference of a logit
ALONE = 16  # probes that are also judged one by one, since a batch of 1 takes other code

Forward = Callable[[np.ndarray], np.ndarray]  # float32 (N,1,S,S) -> logits (N,7)


class ParityError(RuntimeError):
    """The exported file does not answer as its checkpoint; nothing was published."""


@dataclass(frozen=True)
class Exported:
    """A published file; ``difference`` is the largest one between its logits and the
    checkpoint's, over ``evaluation.probes`` in batches of 1 and 256."""

    path: Path
    bytes: int
    difference: float
    metadata: dict[str, str]
    lines: list[str]  # for the user


def largest_difference(evaluator: Evaluator, forward: Forward) -> float:
    """Infinity where the file's logits are not finite; raises UnsoundError where the net's are
    not."""
    images = probes()
    expected, faces = evaluator.finite_logits(images), as_input(images, evaluator.face_size)
    found = np.concatenate([forward(faces), *(forward(face[None]) for face in faces[:ALONE])])
    apart = np.abs(found - np.concatenate([expected, expected[:ALONE]])).max()
    return float(apart) if np.isfinite(apart) else np.inf


def publish(
    content: bytes, output: Path, source: Source, load: Callable[[Path], Forward], limit: float
) -> Exported:
    """Write ``content`` beside ``output``, load that file, compare, and put it in its place.

    Raises:
        ParityError: a logit differs by more than ``limit``; the file is removed.
        OSError: the file cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    waiting = files.write_beside(output, content)
    try:
        apart = largest_difference(source.evaluator, load(waiting))
        if apart > limit:
            raise ParityError(
                f"{output}: not written, its logits are up to {apart:.1e} from the checkpoint's, "
                f"expected at most {limit:.0e}"
            )
        files.rename(waiting, output)
    except BaseException:
        files.remove(waiting)
        raise
    return Exported(output, len(content), apart, source.metadata, source.lines)
