"""A checkpoint -> an ONNX file."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.export.interface import INPUT, OUTPUTS
from ferspore.export.onnx_model import OnnxModel, parse, require_packages, seal
from ferspore.export.parity import LIMIT, Exported, publish
from ferspore.export.source import Source, read_source

if TYPE_CHECKING:
    import onnx


def export_onnx(checkpoint: Path, output: Path, *, limit: float = LIMIT) -> Exported:
    """Export a checkpoint's net (a file, not a folder) to the file ``output``.

    Needs a prepared MindSpore, see ``runtime.select_device``; may be called again and again.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        UnsoundError: the checkpoint is damaged, or not one of ours.
        ParityError: the file's logits differ by more than ``limit``; nothing is published.
        OSError: a file cannot be read or written.
    """
    require_packages()
    source = read_source(checkpoint)
    content = seal(converted(source), source.metadata)
    difference = publish(
        content, output, source.evaluator, lambda path: OnnxModel(path).forward, limit
    )
    return Exported(output, len(content), difference, source.metadata, source.lines)


def converted(source: Source) -> "onnx.ModelProto":
    """The net as MindSpore exports it, with probabilities beside the logits."""
    import mindspore
    import onnx

    size = source.evaluator.face_size
    faces = mindspore.Tensor(shape=[None, 1, size, size], dtype=mindspore.float32)
    logits, probabilities = OUTPUTS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        mindspore.onnx.export(
            source.evaluator.network,
            faces,
            file_name=str(path),
            input_names=[INPUT],
            output_names=[logits],
            dynamic_axes={INPUT: {0: "batch"}},
        )
        model = parse(path.read_bytes())
    # Here, because MindSpore writes no valid file of a net with two outputs; and it gives the
    # batch of an output as -1.
    model.graph.node.append(onnx.helper.make_node("Softmax", [logits], [probabilities], axis=1))
    model.graph.output.append(model.graph.output[0])
    for output, name in zip(model.graph.output, OUTPUTS, strict=True):
        output.name = name
        output.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model
