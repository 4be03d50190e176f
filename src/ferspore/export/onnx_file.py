"""ONNX files: their texts, their digest, and what is refused; nothing in a file is trusted."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.export.interface import INPUT, OUTPUTS
from ferspore.files import read_file
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.run.ckpt import UnsoundError
from ferspore.tables import one_line

if TYPE_CHECKING:
    import onnx

LARGEST = 2**30  # bytes of a file
LARGEST_MAPS = 2**24  # values that an operator makes of one face; our largest net makes 2^21
LARGEST_SETTING = 64  # of a stride, a margin, a kernel's side
# What our exports consist of: none of these runs for long, as Loop can.
OPERATORS = {
    "Add", "BatchNormalization", "Constant", "Conv", "DequantizeLinear", "Div", "Gemm", "MaxPool",
    "Mul", "QuantizeLinear", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Softmax", "Sub",
}  # fmt: skip


# --- writing --------------------------------------------------------------------------------------


def seal(model: "onnx.ModelProto", metadata: Mapping[str, str]) -> bytes:
    """The content of a file: the model with these texts, and the digest of all that."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    onnx.helper.set_model_props(model, {**metadata, "digest": digest_of(model)})
    return model.SerializeToString(deterministic=True)


def digest_of(model: "onnx.ModelProto") -> str:
    """SHA-256 of the model without the text that holds this digest."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(text for text in model.metadata_props if text.key != "digest")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


# --- reading --------------------------------------------------------------------------------------


def read_bounded(path: Path) -> bytes:
    """
    Raises:
        UnsoundError: larger than any export of ours.
        OSError: it cannot be read.
    """
    if path.is_file() and (size := path.stat().st_size) > LARGEST:
        raise UnsoundError(f"it has {size:,} bytes, expected at most {LARGEST:,}")
    return read_file(path)


def parse(content: bytes) -> "onnx.ModelProto":
    """
    Raises:
        UnsoundError: empty, cut short, or no ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not content:
        raise UnsoundError("it is empty")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError) as error:
        raise UnsoundError("it is not an ONNX file, or it is cut short") from error
    if not model.ir_version or not model.graph.node:
        raise UnsoundError("it is not an ONNX file: it holds no network")
    return model


def checked(model: "onnx.ModelProto") -> dict[str, str]:
    """The texts of an export of ours.

    Raises:
        UnsoundError: it is none, or not as it was exported.
    """
    refuse_foreign_parts(model)
    metadata = {text.key: text.value for text in model.metadata_props}
    if "ferspore_version" not in metadata or "digest" not in metadata:
        raise UnsoundError(
            "it has no metadata of ferspore's: expected a file written by `ferspore export`"
        )
    if metadata.pop("digest") != digest_of(model):
        raise UnsoundError("it was changed after its export, or is damaged (digest)")
    size, labels = metadata.get("face_size", ""), metadata.get("labels", "")
    if not (size.isdecimal() and len(size) < 5 and 0 < int(size) <= FACE_SIZE):
        raise UnsoundError(f"its face_size is {size[:20]!r}, expected 1 to {FACE_SIZE} pixels")
    if labels != json.dumps(EMOTIONS):
        raise UnsoundError(f"its labels are {labels[:80]!r}, expected {json.dumps(EMOTIONS)}")
    refuse_other_interface(model, int(size))
    refuse_large_maps(model)
    return metadata


def refuse_foreign_parts(model: "onnx.ModelProto") -> None:
    """
    Raises:
        UnsoundError: weights in another file, or operators or settings that no export of ours has.
    """
    graph = model.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(attribute.t for attribute in attributes)):
        if tensor.data_location or tensor.external_data:
            raise UnsoundError("its weights are in another file (external data), which is not read")
    sparse = any(attribute.HasField("sparse_tensor") for attribute in attributes)
    if graph.sparse_initializer or sparse or model.functions:
        raise UnsoundError("it has sparse weights or operators of its own, which are not read")
    for node in graph.node:
        if node.domain or node.op_type not in OPERATORS:
            name = ".".join(filter(None, (node.domain, node.op_type)))
            raise UnsoundError(f"it uses the operator {name[:80]!r}, which no export of ours does")
    for attribute in attributes:
        if any(abs(value) > LARGEST_SETTING for value in (attribute.i, *attribute.ints)):
            raise UnsoundError(f"its {attribute.name[:80]!r} is above {LARGEST_SETTING}")


def refuse_other_interface(model: "onnx.ModelProto", size: int) -> None:
    """
    Raises:
        UnsoundError: other inputs or outputs than those of our exports.
    """
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    wanted = {INPUT: [1, size, size]} | {name: [len(EMOTIONS)] for name in OUTPUTS}
    ends = [one for one in model.graph.input if one.name not in weights]
    found = {one.name: _shape(one)[1:] for one in (*ends, *model.graph.output)}
    kinds = {one.type.tensor_type.elem_type for one in (*ends, *model.graph.output)}
    if found != wanted or kinds != {onnx.TensorProto.FLOAT}:
        raise UnsoundError(f"its inputs and outputs of a face are {found}, expected {wanted}")


def refuse_large_maps(model: "onnx.ModelProto") -> None:
    """A small file may declare what takes terabytes to run.

    Raises:
        UnsoundError: it does, or its shapes contradict each other.
    """
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # onnx has no class for all that it raises
        raise UnsoundError(f"its shapes do not fit together: {first_line(error)}") from error
    known = {one.name: _shape(one) for one in (*graph.value_info, *graph.output)}
    for name in (name for node in graph.node for name in node.output):
        shape = known.get(name)
        if shape is None or not all(shape[1:]) or math.prod(n or 1 for n in shape) > LARGEST_MAPS:
            raise UnsoundError(
                f"its {name[:80]!r} has the shape {shape}, expected at most {LARGEST_MAPS:,} values"
            )


def _shape(value: "onnx.ValueInfoProto") -> list[int]:
    """With 0 for what is not known."""
    return [max(0, side.dim_value) for side in value.type.tensor_type.shape.dim]


def first_line(error: Exception) -> str:
    return one_line((str(error).splitlines() or [type(error).__name__])[0], 200)
