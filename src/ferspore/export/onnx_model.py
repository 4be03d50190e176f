"""An ONNX file of ours, checked and run by ONNX Runtime; nothing in the file is trusted."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferspore.data.resize import resize
from ferspore.evaluation.averaging import averaged_logits
from ferspore.export.interface import INPUT, OUTPUTS
from ferspore.files import read_file
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import UnsoundError

if TYPE_CHECKING:
    import onnx

PACKAGES = ("onnx", "onnxruntime")
LARGEST = 2**30  # bytes; the largest net that a configuration allows takes less
# What our exports consist of. None of them makes much out of little, as ConstantOfShape can, or
# runs for long, as Loop can.
OPERATORS = {
    "Add", "BatchNormalization", "Constant", "Conv", "DequantizeLinear", "Div", "Gemm", "MaxPool",
    "Mul", "QuantizeLinear", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Softmax", "Sub",
}  # fmt: skip


class MissingPackageError(RuntimeError):
    """A package that ONNX files need is not installed; the message says how to get it."""


def require_packages() -> None:
    """
    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX files need {' and '.join(PACKAGES)} ({error}): python -m pip install "
            "'.[export]' in the clone"
        ) from None


class OnnxModel:
    """The net of an ONNX file. ``metadata`` holds its texts, see docs/export.md; ``threads`` are
    those of ONNX Runtime, 0 for as many as there are cores.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        UnsoundError: the file is damaged, or no export of ours.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, *, threads: int = 0):
        require_packages()
        import onnxruntime

        content = read_bounded(path)
        self.metadata = checked(parse(content))
        self.face_size = int(self.metadata["face_size"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # it both logs a fault and raises it
        try:
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes have no common base of their own
            raise UnsoundError(f"ONNX Runtime refuses it: {first_line(error)}") from error

    def forward(self, faces: np.ndarray) -> np.ndarray:
        """Logits float32 (N,7) of grey values float32 (N,1,S,S), S being ``face_size``.

        Raises:
            UnsoundError: the net cannot be run.
        """
        try:
            (logits,) = self.session.run([OUTPUTS[0]], {INPUT: faces})
        except Exception as error:
            raise UnsoundError(f"ONNX Runtime cannot run it: {first_line(error)}") from error
        if logits.shape != (len(faces), len(EMOTIONS)):
            raise UnsoundError(f"its logits of {len(faces)} faces have the shape {logits.shape}")
        return logits

    def logits(self, images: np.ndarray, *, tta: str | None = None) -> np.ndarray:
        """As ``Evaluator.logits``: float32 (N,7) of faces uint8 (N,48,48)."""
        return averaged_logits(
            lambda seen: self.forward(as_input(seen, self.face_size)), images, tta
        )


def as_input(images: np.ndarray, face_size: int) -> np.ndarray:
    """Faces uint8 (N,H,W) -> what an exported file takes, float32 (N,1,S,S)."""
    return resize(images, face_size)[:, None].astype(np.float32)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


# --- the file -------------------------------------------------------------------------------------


def seal(model: "onnx.ModelProto", metadata: Mapping[str, str]) -> bytes:
    """The content of a file: the model with these texts, and the digest of both."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    onnx.helper.set_model_props(model, {**metadata, "digest": digest_of(model)})
    return model.SerializeToString()


def digest_of(model: "onnx.ModelProto") -> str:
    """SHA-256 of the model without the text that holds this digest."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(text for text in model.metadata_props if text.key != "digest")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def read_bounded(path: Path) -> bytes:
    """
    Raises:
        UnsoundError: larger than any export of ours.
        OSError: it cannot be read.
    """
    if path.is_file() and path.stat().st_size > LARGEST:
        raise UnsoundError(f"it has {path.stat().st_size:,} bytes, expected at most {LARGEST:,}")
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
        raise UnsoundError("it is no ONNX file, or cut short") from error
    if not model.ir_version or not model.graph.node:
        raise UnsoundError("it is no ONNX file: it holds no network")
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
            "it tells neither labels nor face size: expected a file of `ferspore export`"
        )
    if metadata.pop("digest") != digest_of(model):
        raise UnsoundError("it was changed after its export, or is damaged (digest)")
    size = metadata.get("face_size", "")
    if not size.isdecimal() or not 1 <= int(size) <= 1024:
        raise UnsoundError(f"its face_size {size!r}: expected a number of pixels")
    if metadata.get("labels") != json.dumps(EMOTIONS):
        raise UnsoundError(f"its labels {metadata.get('labels')!r}: expected {list(EMOTIONS)}")
    return metadata


def refuse_foreign_parts(model: "onnx.ModelProto") -> None:
    """
    Raises:
        UnsoundError: weights in another file, or operators that no export of ours has.
    """
    tensors = [
        *model.graph.initializer,
        *(attribute.t for node in model.graph.node for attribute in node.attribute),
    ]
    if any(tensor.data_location or tensor.external_data for tensor in tensors):
        raise UnsoundError("its weights are in another file (external data), which is not read")
    if model.graph.sparse_initializer:
        raise UnsoundError("its weights are sparse, which is not read")
    if model.functions:
        raise UnsoundError("it defines operators of its own (functions), which are not run")
    for node in model.graph.node:
        if node.domain or node.op_type not in OPERATORS:
            name = ".".join(filter(None, (node.domain, node.op_type)))
            raise UnsoundError(f"it uses the operator {name[:80]!r}, which no export of ours does")
