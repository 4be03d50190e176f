"""Convert BlazeFace, full range, from TensorFlow Lite to ONNX, weight for weight.

    blazeface_onnx.py face_detection_full_range.tflite blazeface.onnx

Needs `pip install onnx tflite`. The weights stay float16, as in the source. The input's height and
width become free (multiples of 32). src/ferspore/use/weights/README.md names the source.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

CODES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if name.isupper()}
TYPES = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.INT32: np.int32}
OUTPUTS = {1: "scores", 16: "boxes"}  # by their last dimension


class Conversion:
    """One method an operator of TensorFlow Lite; tensors keep their names."""

    def __init__(self, content: bytes):
        self.model = tflite.Model.GetRootAsModel(content, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.halves: dict[int, int] = {}  # a float32 weight -> the float16 one that it is made of

    def run(self) -> onnx.ModelProto:
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            kind = CODES[self.model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
            sources = [int(index) for index in operator.InputsAsNumpy()]
            (target,) = operator.OutputsAsNumpy()
            getattr(self, f"on_{kind.lower()}")(operator, sources, int(target))
        sides = ("height", "width")
        real = TensorProto.FLOAT
        outputs = [
            helper.make_tensor_value_info(name, real, [1, "cells", last])
            for last, name in OUTPUTS.items()
        ]
        source = helper.make_tensor_value_info("input", real, [1, 3, *sides])
        graph = helper.make_graph(self.nodes, "blazeface", [source], outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    # --- the parts of the graph -------------------------------------------------------------------

    def name(self, index: int) -> str:
        return self.graph.Tensors(index).Name().decode()

    def shape(self, index: int) -> list[int]:
        return [int(side) for side in self.graph.Tensors(index).ShapeAsNumpy()]

    def constant(self, index: int) -> np.ndarray:
        tensor = self.graph.Tensors(index)
        content = self.model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(content, TYPES[tensor.Type()]).reshape(self.shape(index))

    def node(self, kind: str, sources: list[str], target: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, sources, [target], **attributes))

    def weight(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def whole(self, index: int, axes: tuple[int, ...]) -> str:
        """The float32 form of a float16 weight, its axes in ONNX's order."""
        value = self.constant(self.halves[index]).transpose(axes)
        half = self.weight(f"{self.name(index)}/half", value)
        self.node("Cast", [half], self.name(index), to=TensorProto.FLOAT)
        return self.name(index)

    # --- operators --------------------------------------------------------------------------------

    def on_dequantize(self, _, sources: list[int], target: int) -> None:
        self.halves[target] = sources[0]

    def on_conv_2d(self, operator, sources: list[int], target: int) -> None:
        options = options_of(operator, tflite.Conv2DOptions())
        self.convolution(options.StrideH(), sources, target, (0, 3, 1, 2), 1)

    def on_depthwise_conv_2d(self, operator, sources: list[int], target: int) -> None:
        options = options_of(operator, tflite.DepthwiseConv2DOptions())
        groups = self.shape(sources[1])[3]
        self.convolution(options.StrideH(), sources, target, (3, 0, 1, 2), groups)

    def convolution(
        self, stride: int, sources: list[int], target: int, axes: tuple[int, ...], groups: int
    ) -> None:
        source, kernel, bias = sources
        side = self.shape(kernel)[1]
        padding = max(0, side - stride)  # TensorFlow's "SAME" of an even size: more at the end
        before = padding // 2
        self.node(
            "Conv",
            [self.name(source), self.whole(kernel, axes), self.whole(bias, (0,))],
            self.name(target),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[before, before, padding - before, padding - before],
            group=groups,
        )

    def on_relu(self, _, sources: list[int], target: int) -> None:
        self.node("Relu", [self.name(sources[0])], self.name(target))

    def on_add(self, _, sources: list[int], target: int) -> None:
        self.node("Add", [self.name(source) for source in sources], self.name(target))

    def on_max_pool_2d(self, _, sources: list[int], target: int) -> None:
        half = {"kernel_shape": [2, 2], "strides": [2, 2]}
        self.node("MaxPool", [self.name(sources[0])], self.name(target), **half)

    def on_pad(self, _, sources: list[int], target: int) -> None:
        before, after = self.constant(sources[1])[[0, 3, 1, 2]].T  # channels first
        pads = np.concatenate([before, after]).astype(np.int64)
        name = self.weight(f"{self.name(target)}/pads", pads)
        self.node("Pad", [self.name(sources[0]), name], self.name(target))

    def on_resize_bilinear(self, _, sources: list[int], target: int) -> None:
        double = np.array([1, 1, 2, 2], np.float32)
        name = self.weight(f"{self.name(target)}/scales", double)
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        self.node("Resize", [self.name(sources[0]), "", name], self.name(target), **how)

    def on_reshape(self, _, sources: list[int], target: int) -> None:
        last = self.shape(target)[-1]
        moved = f"{self.name(target)}/channels_last"
        self.node("Transpose", [self.name(sources[0])], moved, perm=[0, 2, 3, 1])
        shape = self.weight(f"{self.name(target)}/shape", np.array([1, -1, last], np.int64))
        self.node("Reshape", [moved, shape], OUTPUTS[last])


def options_of(operator, options):
    options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    onnx.save(Conversion(arguments.source.read_bytes()).run(), arguments.target)


if __name__ == "__main__":
    main()
