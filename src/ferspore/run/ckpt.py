"""MindSpore's checkpoint files, written and parsed without MindSpore.

A .ckpt is a protobuf message (mindspore/train/checkpoint.proto). MindSpore's own loader accepts
files that are cut at a message boundary, or whose tensors are shorter than their shapes; here
nothing in a file is trusted, and nothing is unpickled.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ferspore import files
from ferspore.tables import one_line

MAX_DIMS = 32  # of an array in numpy
LONGEST_NAME = 80  # in a message
CRC_TAIL = 17  # bytes: "crc_num" and a ten-byte number
INFO_TAGS = ("best_accuracy", "best_epoch", "val_loss", "epoch_num", "step_num", "face_size")

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
TYPE_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class UnsoundError(Exception):
    """A file is not what it should be; the text says why, without the file's name."""


class UnreadableError(UnsoundError):
    """The disk did not hand it out: the file may well be sound."""


@dataclass(frozen=True)
class Contents:
    """What a .ckpt file holds: tensors by name, and scalars that are no part of the net."""

    tensors: dict[str, np.ndarray]
    info: dict[str, float | int]


def _message_class():
    """The message of checkpoint.proto, its texts as bytes: a damaged one is for us to refuse."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="ferspore/checkpoint.proto", package="ferspore", syntax="proto2"
    )
    checkpoint = file.message_type.add(name="Checkpoint")
    checkpoint.field.add(
        name="value", number=1, label=kind.LABEL_REPEATED, type=kind.TYPE_MESSAGE,
        type_name=".ferspore.Checkpoint.Value",
    )  # fmt: skip
    value = checkpoint.nested_type.add(name="Value")
    value.field.add(name="tag", number=1, label=kind.LABEL_REQUIRED, type=kind.TYPE_BYTES)
    value.field.add(
        name="tensor", number=2, label=kind.LABEL_OPTIONAL, type=kind.TYPE_MESSAGE,
        type_name=".ferspore.TensorProto",
    )  # fmt: skip
    tensor = file.message_type.add(name="TensorProto")
    tensor.field.add(name="dims", number=1, label=kind.LABEL_REPEATED, type=kind.TYPE_INT64)
    tensor.field.add(name="tensor_type", number=2, label=kind.LABEL_REQUIRED, type=kind.TYPE_BYTES)
    tensor.field.add(
        name="tensor_content", number=3, label=kind.LABEL_REQUIRED, type=kind.TYPE_BYTES
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ferspore.Checkpoint"))


_Checkpoint = _message_class()


# --- writing --------------------------------------------------------------------------------------


def write_ckpt(
    path: Path, tensors: Mapping[str, np.ndarray], info: Mapping[str, float | int]
) -> Path:
    """Write tensors and scalars beside ``path``, whole and flushed; returns where they are.

    MindSpore's ``load_checkpoint`` reads the file. Floats of ``info`` keep their 64 bits.
    """
    return files.write_beside(path, serialize(tensors, info))


def serialize(tensors: Mapping[str, np.ndarray], info: Mapping[str, float | int]) -> bytes:
    """The bytes of a .ckpt file; ``info``'s values become tensors of one number."""
    scalars = {
        tag: np.array([value], np.float64 if isinstance(value, float) else np.int64)
        for tag, value in info.items()
    }
    message = _Checkpoint()
    for name, array in {**tensors, **scalars}.items():
        value = message.value.add(tag=name.encode())
        value.tensor.dims[:] = array.shape
        value.tensor.tensor_type = TYPE_NAMES[array.dtype].encode()
        value.tensor.tensor_content = np.ascontiguousarray(array).tobytes()
    return message.SerializeToString()


# --- reading --------------------------------------------------------------------------------------


def read_ckpt(path: Path) -> Contents:
    """Parse a .ckpt file of any origin.

    Raises:
        UnsoundError: empty, no MindSpore checkpoint, or a tensor whose bytes and shape disagree.
        OSError: the file cannot be read.
    """
    return parse_ckpt(files.read_file(path))


def parse_ckpt(content: bytes) -> Contents:
    """See ``read_ckpt``."""
    if not content:
        raise UnsoundError("it is empty")
    if content[-CRC_TAIL:].startswith(b"crc_num"):
        content = content[:-CRC_TAIL]  # what crc_check=True of save_checkpoint appends
    message = _Checkpoint()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise UnsoundError("it is not a MindSpore checkpoint, or it is cut short") from error
    if not message.value:
        raise UnsoundError("it holds no tensor")
    pieces: dict[str, list[bytes]] = {}
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {}
    for value in message.value:
        tag, dtype = _text(value.tag), _text(value.tensor.tensor_type)
        if dtype == "str":  # append_info may hold text, which is no tensor
            continue
        kind = (dtype, tuple(value.tensor.dims))
        if kinds.setdefault(tag, kind) != kind:
            raise UnsoundError(f"{_named(tag)} occurs in it twice with different shapes")
        pieces.setdefault(tag, []).append(value.tensor.tensor_content)
    tensors = {tag: _array(tag, *kinds[tag], b"".join(parts)) for tag, parts in pieces.items()}
    info = {tag: tensors.pop(tag).item() for tag in INFO_TAGS if _is_scalar(tensors.get(tag))}
    return Contents(tensors, info)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise UnsoundError(f"a tensor's name or type is no text: {name[:40]!r}") from None


def _named(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "...")


def _is_scalar(array: np.ndarray | None) -> bool:
    return array is not None and array.size == 1


def _array(tag: str, dtype: str, shape: tuple[int, ...], content: bytes) -> np.ndarray:
    if dtype not in DTYPES:
        raise UnsoundError(f"{_named(tag)} has the type {_named(dtype)}, which is not read here")
    if len(shape) > MAX_DIMS:
        raise UnsoundError(
            f"{_named(tag)} has {len(shape):,} dimensions, at most {MAX_DIMS} are read"
        )
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if any(size < 0 for size in shape) or len(content) != expected:
        raise UnsoundError(
            f"{_named(tag)} has {len(content)} bytes where its shape {shape} takes {expected}"
        )
    try:
        return np.frombuffer(content, DTYPES[dtype]).reshape(shape)
    except ValueError as error:  # such as (2**62, 4, 0), whose product is 0
        raise UnsoundError(f"{_named(tag)} has the impossible shape {shape}") from error


def is_trained(name: str) -> bool:
    """Whether the optimizer trains the tensor ``name`` of a net: batch statistics and the
    normalisation of the faces are not trained."""
    return not name.startswith("normalize.") and not name.endswith(
        (".moving_mean", ".moving_variance")
    )


def parameter_count(shapes: Mapping[str, Sequence[int]]) -> int:
    """Trainable parameters of a net, from the shapes of all its tensors."""
    return sum(math.prod(shape) for name, shape in shapes.items() if is_trained(name))


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
        names = ", ".join(map(one_line, bad[:3]))
        raise UnsoundError(f"it holds values that are not finite, in {names}")
