"""One checkpoint and its sidecar: write, read, check.

Every file is written beside its place, flushed to disk, then renamed over it; a sidecar follows
its checkpoint. Reading never trusts a file: a checkpoint is MindSpore's protobuf, parsed here
without MindSpore's loader (which accepts files that are cut at a message boundary, or whose
tensors are shorter than their shapes), and a sidecar carries a digest of itself beside that of
its checkpoint. Nothing is unpickled.
"""

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import mindspore
import numpy as np
from google.protobuf.message import DecodeError
from mindspore import Tensor
from mindspore.train.checkpoint_pb2 import Checkpoint
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import ferspore

FORMAT = 1
WRITING = ".writing-"  # prefix of a file that is not whole yet
CRC_TAIL = 17  # bytes: "crc_num" and a ten-byte number
INFO_TAGS = ("best_accuracy", "best_epoch", "val_loss", "epoch_num", "step_num")

# MindSpore's tensor types in a checkpoint that numpy has too
DTYPES = {
    "Bool": np.bool_,
    "Int8": np.int8,
    "UInt8": np.uint8,
    "Int16": np.int16,
    "UInt16": np.uint16,
    "Int32": np.int32,
    "UInt32": np.uint32,
    "Int64": np.int64,
    "UInt64": np.uint64,
    "Float16": np.float16,
    "Float32": np.float32,
    "Float64": np.float64,
}


class UnsoundError(Exception):
    """A file is not what it should be; the text says why, without the file's name."""


@dataclass(frozen=True)
class Contents:
    """What a .ckpt file holds: tensors by name, and scalars that are no part of the net."""

    tensors: dict[str, np.ndarray]
    info: dict[str, float | int]


# --- sidecars -----------------------------------------------------------------------------------

Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Sidecar(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    format: Literal[1]
    checkpoint: str
    sha256: Digest
    bytes: Count
    created: str
    versions: dict[str, str]


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
    history: list[dict[str, Any]]
    resumes: list[Count]
    config: dict[str, Any]
    data: dict[str, Any]
    stage: str | None
    command: str
    cores: Ordinal


class ModelSidecar(_Sidecar):
    """What is known of a weights-only file; it names no path of the machine that wrote it."""

    kind: Literal["best", "final"]
    best_accuracy: Fraction | None
    best_epoch: Count | None
    epoch: Count
    monitor: Literal["val_accuracy", "val_loss"]
    usage: str
    val_loss: float | None
    parameters: Count
    classes: list[str]
    config: dict[str, Any]
    data: dict[str, Any]
    command: str
    history: list[dict[str, Any]]


def sidecar_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".json")


def seal(values: Mapping[str, Any]) -> bytes:
    """The JSON text of a sidecar, ending in the digest of all that stands before it."""
    digest = _digest_of_values(values)
    return (json.dumps({**values, "digest": digest}, indent=1, allow_nan=False) + "\n").encode()


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
    digest = values.pop("digest", None)
    try:
        if digest != _digest_of_values(values):
            raise UnsoundError("its sidecar was changed after it was written (digest)")
    except ValueError as error:
        raise UnsoundError("its sidecar holds a number that is not finite") from error
    return values


def _digest_of_values(values: Mapping[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_sidecar(checkpoint: Path) -> SnapshotSidecar | ModelSidecar:
    """The sidecar of ``checkpoint``, checked in itself and against the checkpoint's name.

    Raises:
        UnsoundError: missing, damaged, of another file, or of a format that is not known.
    """
    path = sidecar_path(checkpoint)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise UnsoundError(f"its sidecar {path.name} is missing") from None
    except OSError as error:
        raise UnsoundError(f"its sidecar cannot be read ({error.strerror})") from error
    values = unseal(text)
    known = SnapshotSidecar if values.get("kind") == "snapshot" else ModelSidecar
    try:
        sidecar = known.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnsoundError(f"its sidecar's {where}: {first['msg']}") from error
    if sidecar.checkpoint != checkpoint.name:
        raise UnsoundError(f"its sidecar is that of {sidecar.checkpoint!r}")
    return sidecar


FILE_FIELDS = ("format", "checkpoint", "sha256", "bytes", "created", "versions")


def describe_file(checkpoint: Path, final_name: str) -> dict[str, Any]:
    """FILE_FIELDS of the sidecar of ``checkpoint``, a whole file that will be ``final_name``."""
    return {
        "format": FORMAT,
        "checkpoint": final_name,
        "sha256": file_sha256(checkpoint),
        "bytes": checkpoint.stat().st_size,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    return {
        "ferspore": ferspore.__version__,
        "mindspore": mindspore.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


# --- writing ------------------------------------------------------------------------------------


def write_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``: beside, flushed, renamed. A reader sees the old or the new."""
    _write_beside(path, content).replace(path)
    _flush_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    beside = path.with_name(WRITING + path.name)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def publish(beside: Path, path: Path, sidecar: bytes) -> None:
    """Put the whole file ``beside`` at ``path``, and its sealed sidecar after it.

    The sidecar is flushed beside its place before the checkpoint takes its own, so that a kill
    between the two renames can be rolled forward (``roll_forward``).
    """
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    umask = os.umask(0)
    os.umask(umask)
    beside.chmod(0o666 & ~umask)  # MindSpore leaves 0400, which hinders a plain copy over it
    waiting = _write_beside(sidecar_path(path), sidecar)
    beside.replace(path)
    waiting.replace(sidecar_path(path))
    _flush_folder(path.parent)


def roll_forward(waiting: Path) -> bool:
    """Finish a publication that was cut between its two renames; whether it was one."""
    path = waiting.with_name(waiting.name.removeprefix(WRITING))
    try:
        values = unseal(waiting.read_bytes())
        checkpoint = path.with_name(str(values["checkpoint"]))
        if sidecar_path(checkpoint) != path or file_sha256(checkpoint) != values["sha256"]:
            return False
    except (UnsoundError, OSError, KeyError, ValueError):
        return False
    waiting.replace(path)
    _flush_folder(path.parent)
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_weights(
    path: Path, weights: Mapping[str, np.ndarray], info: Mapping[str, float | int]
) -> None:
    """Write tensors and scalars as a .ckpt file that MindSpore's ``load_checkpoint`` reads.

    Floats keep their 64 bits. Not atomic: the caller writes beside and publishes.
    """
    items = [{"name": name, "data": Tensor(value)} for name, value in weights.items()]
    scalars = {
        tag: Tensor(np.float64(value)) if isinstance(value, float) else value
        for tag, value in info.items()
    }
    mindspore.save_checkpoint(items, str(path), append_dict=scalars)


# --- reading ------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_ckpt(path: Path) -> Contents:
    """Parse a .ckpt file of any origin.

    Raises:
        UnsoundError: empty, no MindSpore checkpoint, or a tensor whose bytes and shape disagree.
        OSError: the file cannot be read.
    """
    return parse_ckpt(path.read_bytes())


def parse_ckpt(content: bytes) -> Contents:
    """See ``read_ckpt``."""
    if not content:
        raise UnsoundError("it is empty")
    if content[-CRC_TAIL:].startswith(b"crc_num"):
        content = content[:-CRC_TAIL]  # what crc_check=True of save_checkpoint appends
    message = Checkpoint()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise UnsoundError("it is no MindSpore checkpoint, or cut short") from error
    if not message.value:
        raise UnsoundError("it holds no tensor")
    pieces: dict[str, list[bytes]] = {}
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {}
    for value in message.value:
        if value.tensor.tensor_type == "str":  # append_info may hold text, which is no tensor
            continue
        kind = (value.tensor.tensor_type, tuple(value.tensor.dims))
        if kinds.setdefault(value.tag, kind) != kind:
            raise UnsoundError(f"{value.tag!r} stands in it twice with different shapes")
        pieces.setdefault(value.tag, []).append(value.tensor.tensor_content)
    tensors = {tag: _array(tag, *kinds[tag], b"".join(parts)) for tag, parts in pieces.items()}
    info = {tag: tensors.pop(tag).item() for tag in INFO_TAGS if _is_scalar(tensors.get(tag))}
    return Contents(tensors, info)


def _is_scalar(array: np.ndarray | None) -> bool:
    return array is not None and array.size == 1


def _array(tag: str, dtype: str, shape: tuple[int, ...], content: bytes) -> np.ndarray:
    if dtype not in DTYPES:
        raise UnsoundError(f"{tag!r} has the type {dtype!r}, which is not read here")
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if any(size < 0 for size in shape) or len(content) != expected:
        raise UnsoundError(
            f"{tag!r} has {len(content)} bytes where its shape {shape} takes {expected}"
        )
    try:
        return np.frombuffer(content, DTYPES[dtype]).reshape(shape)
    except ValueError as error:  # such as (2**62, 4, 0), whose product is 0
        raise UnsoundError(f"{tag!r} has the impossible shape {shape}") from error


def not_finite(tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the tensors that hold a NaN or an infinity."""
    return [
        name
        for name, value in tensors.items()
        if value.dtype.kind == "f" and not np.isfinite(value).all()
    ]


def refuse_not_finite(tensors: Mapping[str, np.ndarray]) -> None:
    """
    Raises:
        UnsoundError: a tensor holds a NaN or an infinity.
    """
    if bad := not_finite(tensors):
        raise UnsoundError(f"it holds values that are not finite, in {', '.join(bad[:3])}")


def read_sound(path: Path) -> tuple[Contents, SnapshotSidecar | ModelSidecar]:
    """A checkpoint and its sidecar, when both are whole, agree and hold finite values only.

    Raises:
        UnsoundError: any of that is not so.
    """
    sidecar = read_sidecar(path)
    try:
        size = path.stat().st_size
        if size != sidecar.bytes:
            raise UnsoundError(f"it has {size} bytes where its sidecar says {sidecar.bytes}")
        content = path.read_bytes()
    except OSError as error:
        raise UnsoundError(f"it cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sidecar.sha256:
        raise UnsoundError("its content is not what its sidecar says (sha256)")
    contents = parse_ckpt(content)
    refuse_not_finite(contents.tensors)
    return contents, sidecar
