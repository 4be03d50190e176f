"""A checkpoint -> an ONNX file."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore.export.interface import INPUT, OUTPUTS
from ferspore.export.onnx_file import parse, seal
from ferspore.export.onnx_model import OnnxModel, require_packages
from ferspore.export.parity import LIMIT, Exported, publish
from ferspore.export.source import Source, dynamic_faces, read_source

if TYPE_CHECKING:
    import onnx


def export_onnx(checkpoint: Path, output: Path, *, limit: float = LIMIT) -> Exported:
    """Export a checkpoint's net (a file, not a folder) to the file ``output``.

    Needs a prepared MindSpore, see ``runtime.select_device``; may be called again and again. The
    same checkpoint gives the same bytes.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        UnsoundError: the checkpoint is damaged, or not one of ours.
        ParityError: the file's logits differ by more than ``limit``; nothing is published.
        OSError: a file cannot be read or written.
    """
    require_packages()
    source = read_source(checkpoint)
    content = seal(converted(source), source.metadata)
    return publish(content, output, source, lambda path: OnnxModel(path).forward, limit)


def converted(source: Source) -> "onnx.ModelProto":
    """The net as MindSpore exports it, with probabilities beside the logits."""
    import mindspore
    import onnx

    logits, probabilities = OUTPUTS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        mindspore.onnx.export(
            source.evaluator.network,
            dynamic_faces(source),
            file_name=str(path),
            input_names=[INPUT],
            output_names=[logits],
            dynamic_axes={INPUT: {0: "batch"}},
        )
        model = parse(path.read_bytes())
    rename_values(model)
    # Here, because MindSpore's file of a net with two outputs is not valid; and it gives the batch
    # of an output as -1.
    model.graph.node.append(onnx.helper.make_node("Softmax", [logits], [probabilities], axis=1))
    model.graph.output.append(model.graph.output[0])
    for output, name in zip(model.graph.output, OUTPUTS, strict=True):
        output.name = name
        output.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def rename_values(model: "onnx.ModelProto") -> None:
    """Number what the operators make: MindSpore's names count all nets of the process."""
    kept = {output.name for output in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name not in kept]
    names = {name: f"value_{number}" for number, name in enumerate(made, 1)}
    for number, node in enumerate(model.graph.node, 1):
        node.name = f"{node.op_type}_{number}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    model.graph.name = "ferspore"
