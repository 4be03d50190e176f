"""A checkpoint -> an ONNX file whose net computes in 8 bits: smaller, faster, a little different.

ONNX Runtime's static quantisation: the largest values that faces of Training give fix the scales.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ferspore import files
from ferspore.data.faces import Faces, FaceTable
from ferspore.evaluation.scores import score
from ferspore.export.interface import INPUT
from ferspore.export.onnx import export_onnx
from ferspore.export.onnx_file import parse, seal
from ferspore.export.onnx_model import OnnxModel, as_input
from ferspore.export.parity import Exported, ParityError
from ferspore.run.ckpt import UnsoundError

USAGE = "PublicTest"  # on which the loss of accuracy is measured
CALIBRATION = 512  # faces, evenly spaced over Training
BATCH = 64
OPSET = 13  # the first whose quantisation has a scale for each channel
QUANTISED = ["Conv", "Gemm", "Add", "MaxPool", "Relu"]
LARGEST_LOSS = 0.01  # of accuracy


@dataclass(frozen=True)
class Quantised:
    """A published file, with the accuracies on PublicTest of it and of the float32 file; the
    ``difference`` of ``exported`` is that of the latter."""

    exported: Exported
    accuracy: float
    float_accuracy: float
    count: int  # faces


def export_int8(checkpoint: Path, output: Path, table: FaceTable) -> Quantised:
    """Export a checkpoint's net in 8 bits to the file ``output``; ``table`` has Training and
    PublicTest.

    Raises: see ``export_onnx`` and ``quantise``.
    """
    with tempfile.TemporaryDirectory() as folder:
        return quantise(export_onnx(checkpoint, Path(folder, "float.onnx")), output, table)


def quantise(
    exported: Exported, output: Path, table: FaceTable, *, largest_loss: float = LARGEST_LOSS
) -> Quantised:
    """Put the net of an exported ONNX file in 8 bits into the file ``output``.

    Raises:
        UnsoundError: its logits are not finite, or ONNX Runtime cannot run it.
        ParityError: it loses more than ``largest_loss`` of accuracy, and more than one face;
            nothing is published.
        OSError: the file cannot be written.
    """
    faces = table.splits[USAGE]
    float_accuracy = _accuracy(exported.path, faces)
    content = quantised(exported.path, table.splits["Training"].images)
    metadata = {
        **exported.metadata,
        "quantisation": "int8: weights of 7 bits, a scale for each channel; values of 8 bits; "
        f"calibrated on up to {CALIBRATION} faces of Training",
        "usage": USAGE,
        "csv_sha256": table.sha256,
        "accuracy_float32": str(float_accuracy),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        path.write_bytes(seal(parse(content), metadata))
        accuracy = _accuracy(path, faces)
    lost = float_accuracy - accuracy
    if lost > largest_loss and lost * len(faces) > 1.5:
        raise ParityError(
            f"{output}: not written, in 8 bits the accuracy on {USAGE} is {accuracy:.4f} instead "
            f"of {float_accuracy:.4f}, expected a loss of at most {largest_loss}"
        )
    metadata["accuracy"] = str(accuracy)
    sealed = seal(parse(content), metadata)
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write_file(output, sealed)
    published = replace(exported, path=output, bytes=len(sealed), metadata=metadata)
    return Quantised(published, accuracy, float_accuracy, len(faces))


def quantised(path: Path, images: np.ndarray) -> bytes:
    """The content of the float32 file at ``path`` in 8 bits; ``images``: uint8 (N,48,48)."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.version_converter.convert_version(parse(path.read_bytes()), OPSET)
    with tempfile.TemporaryDirectory() as folder:
        newer, folded, result = (Path(folder, f"{name}.onnx") for name in ("a", "b", "c"))
        newer.write_bytes(model.SerializeToString())
        quant_pre_process(str(newer), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(result),
            _Calibration(images, OnnxModel(path).face_size),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            # Weights of 7 bits: with 8 the sums overflow on processors without VNNI.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = parse(result.read_bytes())
    own = [opset for opset in model.opset_import if not opset.domain]
    del model.opset_import[:]  # those that ONNX Runtime adds are not used
    model.opset_import.extend(own)
    return model.SerializeToString()


class _Calibration:
    """Hands out the batches, as ONNX Runtime's ``CalibrationDataReader``."""

    def __init__(self, images: np.ndarray, face_size: int):
        chosen = np.linspace(0, len(images) - 1, min(CALIBRATION, len(images))).astype(int)
        faces = as_input(images[chosen], face_size)
        self.batches = (faces[start : start + BATCH] for start in range(0, len(faces), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def _accuracy(path: Path, faces: Faces) -> float:
    logits = OnnxModel(path).logits(faces.images)
    if not np.isfinite(logits).all():
        raise UnsoundError("its logits are not finite")
    return score(logits, faces.labels).accuracy
