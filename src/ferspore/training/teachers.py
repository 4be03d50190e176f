"""The teachers of a run, checked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mindspore import nn

from ferspore.evaluation.evaluator import load_evaluator
from ferspore.files import file_sha256
from ferspore.run.asked import RefusalError
from ferspore.run.ckpt import UnsoundError, refuse_not_finite
from ferspore.tables import Say, counted


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained net in evaluation mode, and the digest of the file that it came from."""

    network: nn.Cell
    sha256: str


def load_teachers(
    paths: Sequence[str], face_size: int, known: Sequence[str] | None, say: Say
) -> tuple[Teacher, ...]:
    """The nets in ``paths``, checkpoints of any kind, in this order.

    ``known`` are the digests of the run that goes on; None: a new run.

    Raises:
        RefusalError: a file is missing or unsound, its net was trained on faces of another size
            than ``face_size``, or the files are not those of the run.
    """
    if known is not None and len(paths) != len(known):
        raise RefusalError(
            f"training.teachers: the run has {counted(len(known), 'teacher')}, received "
            f"{len(paths)}; they define the run and cannot change on a resume"
        )
    expected: Sequence[str | None] = known or [None] * len(paths)
    return tuple(
        _load(Path(path), face_size, then, say) for path, then in zip(paths, expected, strict=True)
    )


def _load(path: Path, face_size: int, then: str | None, say: Say) -> Teacher:
    told = f"training.teachers: {path}: "
    trained = "" if then is None else f"; the run has the teacher with sha256 {then[:12]}..."
    try:
        now = file_sha256(path)
        if then not in (None, now):
            raise RefusalError(f"{told}its sha256 is {now[:12]}...{trained}")
        evaluator, lines = load_evaluator(path)
        parameters = evaluator.network.get_parameters()
        refuse_not_finite({parameter.name: parameter.asnumpy() for parameter in parameters})
    except UnsoundError as error:
        raise RefusalError(f"{told}{error}") from error
    except OSError as error:
        raise RefusalError(f"{told}{error.strerror}{trained}") from error
    if evaluator.face_size != face_size:
        raise RefusalError(
            f"{told}it was trained on faces of {evaluator.face_size}x{evaluator.face_size} pixels, "
            f"data.face_size is {face_size}"
        )
    for line in lines:
        say(line)
    return Teacher(evaluator.network, now)
