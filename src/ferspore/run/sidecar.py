"""The JSON file beside a checkpoint: what it is, its digest, and everything that is no tensor.

A sidecar is written after its checkpoint and ends in a digest of itself, so that a changed one does
not count. Format 2 is written; format 1 (ferspore up to 1835cce) is upgraded as it is read.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

import ferspore
from ferspore import files
from ferspore.labels import FACE_SIZE
from ferspore.run.ckpt import (
    Contents,
    UnreadableError,
    UnsoundError,
    parse_ckpt,
    refuse_not_finite,
)
from ferspore.run.names import sidecar_path
from ferspore.run.records import RecordTexts, record_fault
from ferspore.tables import one_line

FORMAT = 2
DEEPEST = 16  # levels of lists and objects; ours have 8

Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _sound_history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    previous = 0
    for number, record in enumerate(records, 1):
        if fault := record_fault(record, previous):
            raise ValueError(f"record {number}: {fault}")
        previous = record["epoch"]
    return records


def _sound_config(config: dict[str, Any]) -> dict[str, Any]:
    training = config.get("training")
    if not isinstance(training, dict) or training.get("monitor") not in [
        "val_accuracy",
        "val_loss",
    ]:
        raise ValueError("expected the configuration of a run, with its training.monitor")
    return config


History = Annotated[list[dict[str, Any]], AfterValidator(_sound_history)]


class _Sidecar(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    format: Literal[2]
    checkpoint: str
    sha256: Digest
    bytes: Count
    created: str
    versions: dict[str, str]
    run: str  # drawn at the run's start; empty where format 1 did not tell
    sequence: Count  # of the snapshots in the order in which they were written; 0 in format 1
    face_size: Annotated[int, Field(ge=1, le=1024)]  # pixels a side that the net sees
    teachers: list[Digest] = []  # of the files of training.teachers; older sidecars have none


class SnapshotSidecar(_Sidecar):
    """Everything of a run that is no tensor; see docs/checkpoints.md for each field."""

    kind: Literal["snapshot"]
    epoch: Ordinal
    step: Ordinal
    steps_per_epoch: Ordinal
    global_step: Ordinal
    evaluated: bool
    epoch_loss_sum: float
    epoch_loss_steps: Count
    epoch_seconds: float
    best_accuracy: Fraction | None
    best_loss: float | None
    best_epoch: Count | None
    epochs_since_best: Count
    history: History
    resumes: list[Count]
    config: Annotated[dict[str, Any], AfterValidator(_sound_config)]
    data: dict[str, Any]
    stage: str | None
    command: str
    cores: Ordinal
    world_size: Ordinal = 1  # ranks that trained; older sidecars have none
    hardware: dict[str, str] = {}  # device, drivers and settings; older sidecars have none


class ModelSidecar(_Sidecar):
    """What is known of a weights-only file; it names no path of the machine that wrote it."""

    kind: Literal["best", "final"]
    best_accuracy: Fraction | None
    best_epoch: Count | None
    epoch: Count
    monitor: Literal["val_accuracy", "val_loss"]
    usage: str
    val_loss: float | None
    parameters: Count  # trainable (in older files all values of the net)
    classes: list[str]
    config: dict[str, Any]
    data: dict[str, Any]
    command: str
    history: History


@dataclass(frozen=True)
class Facts:
    """What every sidecar of a run says beside its progress.

    ``snapshot`` holds config, data, teachers, stage, command, cores, world_size and hardware;
    ``model`` config, data, teachers, usage and command, without any path of this machine.
    """

    run: str
    face_size: int
    snapshot: Mapping[str, Any]
    model: Mapping[str, Any]


# --- text -----------------------------------------------------------------------------------------


def seal(values: Mapping[str, Any], records: RecordTexts | None = None) -> bytes:
    """The JSON text of a sidecar, ending in the digest of all that stands before it.

    ``records``: the texts of the history, which is most of a long run's sidecar, where they are
    known.
    """
    others = {key: value for key, value in values.items() if key != "history" or records is None}
    inline = {key: _canonical(value) for key, value in others.items()}
    spread = {key: _spread(value) for key, value in others.items()}
    if records is not None:
        inline["history"] = f"[{', '.join(records.canonical)}]"
        spread["history"] = "[\n  " + ",\n  ".join(records.lines) + "\n ]"
    digest = _sha256("{" + ", ".join(_members(dict(sorted(inline.items())))) + "}")
    members = _members({**spread, "digest": _canonical(digest)})
    return ("{\n " + ",\n ".join(members) + "\n}\n").encode()


def _members(texts: Mapping[str, str]) -> list[str]:
    return [f"{_canonical(key)}: {text}" for key, text in texts.items()]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _spread(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def unseal(text: bytes) -> dict[str, Any]:
    """The values of a sidecar.

    Raises:
        UnsoundError: no JSON object, or not the one that was sealed.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsoundError("its sidecar is not JSON") from error
    if not isinstance(values, dict):
        raise UnsoundError("its sidecar is not a JSON object")
    if _is_deep(values):
        raise UnsoundError(f"its sidecar is nested deeper than {DEEPEST} levels")
    digest = values.pop("digest", None)
    try:
        if digest != _sha256(_canonical(values)):
            raise UnsoundError("its sidecar was changed after it was written (digest)")
    except (ValueError, RecursionError) as error:
        raise UnsoundError("its sidecar holds a number that is not finite") from error
    return values


def _is_deep(values: dict[str, Any]) -> bool:
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [part for parts in inner for part in parts if isinstance(part, dict | list)]
    return bool(level)


# --- reading --------------------------------------------------------------------------------------


def read_sidecar(checkpoint: Path) -> SnapshotSidecar | ModelSidecar:
    """The sidecar of ``checkpoint``, checked in itself and against the checkpoint's name.

    Raises:
        UnsoundError: missing, damaged, of another file, or of a format that is not known.
    """
    return _read_sidecar(checkpoint, sidecar_path(checkpoint))


def sidecar_for(checkpoint: Path, sha256: str) -> SnapshotSidecar | ModelSidecar:
    """The same of a checkpoint with this content: a publication that was cut between its two
    renames left the new sidecar beside its place.

    Raises:
        UnsoundError: see ``read_sidecar``.
    """
    with suppress(UnsoundError):
        waiting = _read_sidecar(checkpoint, files.beside(sidecar_path(checkpoint)))
        if waiting.sha256 == sha256:
            return waiting
    return read_sidecar(checkpoint)


def _read_sidecar(checkpoint: Path, path: Path) -> SnapshotSidecar | ModelSidecar:
    try:
        text = files.read_file(path, files.LARGEST_TEXT)
    except FileNotFoundError:
        raise UnsoundError(f"its sidecar {path.name} is missing") from None
    except OSError as error:
        raise UnreadableError(f"its sidecar cannot be read ({error.strerror})") from error
    values = upgraded(unseal(text))
    known = SnapshotSidecar if values.get("kind") == "snapshot" else ModelSidecar
    try:
        sidecar = known.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = one_line(".".join(map(str, first["loc"])))
        fault = first["msg"].removeprefix("Value error, ")
        raise UnsoundError(f"its sidecar's {where}: {fault}") from error
    if sidecar.checkpoint != checkpoint.name:
        raise UnsoundError(f"its sidecar is that of {one_line(sidecar.checkpoint)!r}")
    return sidecar


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """A sidecar of an older format as one of today's.

    Raises:
        UnsoundError: the format is newer than this ferspore.
    """
    number = values.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise UnsoundError(
            f"its sidecar has format {number}, this ferspore {ferspore.__version__} reads up to "
            f"{FORMAT}: a newer one wrote it"
        )
    if number != 1:
        return values
    config = values.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    size = data.get("face_size", FACE_SIZE) if isinstance(data, dict) else FACE_SIZE
    return {
        **values,
        "format": 2,
        "run": "",
        "sequence": 0,
        "face_size": size,
    }


def read_sound(path: Path) -> tuple[Contents, SnapshotSidecar | ModelSidecar]:
    """A checkpoint and its sidecar, when both are whole, agree and hold finite values only.

    Raises:
        UnsoundError: any of that is not so; UnreadableError: it is not known.
    """
    sidecar = sidecar_path(path)
    for place in (sidecar, files.beside(sidecar)):  # of a publication between its two renames
        with suppress(UnsoundError):
            return _read_sound(path, place)
    return _read_sound(path, sidecar)  # or a trainer has ended it meanwhile


def _read_sound(path: Path, sidecar_at: Path) -> tuple[Contents, SnapshotSidecar | ModelSidecar]:
    sidecar = _read_sidecar(path, sidecar_at)
    try:
        size = path.stat().st_size
        if size != sidecar.bytes:
            raise UnsoundError(f"it has {size} bytes where its sidecar says {sidecar.bytes}")
        content = files.read_file(path)
    except FileNotFoundError as error:
        raise UnsoundError(f"it cannot be read ({error.strerror})") from error
    except OSError as error:
        raise UnreadableError(f"it cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sidecar.sha256:
        raise UnsoundError("its content is not what its sidecar says (sha256)")
    contents = parse_ckpt(content)
    refuse_not_finite(contents.tensors)
    return contents, sidecar


# --- writing --------------------------------------------------------------------------------------

FILE_FIELDS = ("format", "checkpoint", "sha256", "bytes", "created", "versions")


def describe_file(checkpoint: Path, final_name: str) -> dict[str, Any]:
    """FILE_FIELDS of the sidecar of ``checkpoint``, a whole file that will be ``final_name``."""
    return {
        "format": FORMAT,
        "checkpoint": final_name,
        "sha256": files.file_sha256(checkpoint),
        "bytes": checkpoint.stat().st_size,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "versions": versions(),
    }


@cache  # reading the packages' metadata takes 10 ms
def versions() -> dict[str, str]:
    return {
        "ferspore": ferspore.__version__,
        "mindspore": _installed("mindspore"),
        "numpy": _installed("numpy"),
        "python": platform.python_version(),
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def publish(beside: Path, path: Path, sidecar: bytes) -> None:
    """Put the whole and flushed file ``beside`` at ``path``, and its sealed sidecar after it.

    The sidecar is flushed beside its place before the checkpoint takes its own, so that a stop
    between the two renames can be rolled forward (``roll_forward``). Its name is, too: a power cut
    may otherwise keep the rename and lose the file.
    """
    waiting = files.write_beside(sidecar_path(path), sidecar)
    files.flush_folder(path.parent)
    files.rename(beside, path)
    files.rename(waiting, sidecar_path(path))


def roll_forward(waiting: Path) -> bool:
    """Finish a publication that was cut between its two renames; whether it was one.

    Raises:
        OSError: a file cannot be read, so that it is not known.
    """
    path = waiting.with_name(waiting.name.removeprefix(files.WRITING))
    try:
        values = unseal(files.read_file(waiting, files.LARGEST_TEXT))
        checkpoint = path.with_name(str(values["checkpoint"]))
        if sidecar_path(checkpoint) != path or files.file_sha256(checkpoint) != values["sha256"]:
            return False
    except (UnsoundError, FileNotFoundError, KeyError, ValueError):
        return False
    files.rename(waiting, path)
    return True
