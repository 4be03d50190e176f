"""The net in 8 bits: what it loses is measured, and bounded."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from ferspore.export.int8 import quantise
from ferspore.export.onnx_model import OnnxModel
from ferspore.export.parity import ParityError


@pytest.fixture(scope="module")
def found(exported, small, tmp_path_factory):
    output = tmp_path_factory.mktemp("int8") / "small_int8.onnx"
    return quantise(exported, output, small.table, largest_loss=1.0)


def test_the_accuracies_are_those_of_the_two_files(found, exported, small):
    faces = small.table.splits["PublicTest"]
    for path, accuracy in (
        (exported.path, found.float_accuracy),
        (found.exported.path, found.accuracy),
    ):
        logits = OnnxModel(path).logits(faces.images)
        assert (logits.argmax(axis=1) == faces.labels).mean() == pytest.approx(accuracy)
    assert found.float_accuracy == small.accuracy and found.count == len(faces)
    assert float(found.exported.metadata["accuracy"]) == found.accuracy
    assert "int8" in found.exported.metadata["quantisation"]


def test_its_weights_are_bytes_with_a_scale_for_each_channel(found):
    graph = onnx.load(found.exported.path).graph
    weights = {one.name: one for one in graph.initializer}
    kernels = [node for node in graph.node if node.op_type == "Conv"]
    assert len(kernels) == 6
    dequantised = {node.output[0]: node for node in graph.node if node.op_type.startswith("Deq")}
    for node in kernels:
        kernel, scales, _ = (weights[name] for name in dequantised[node.input[1]].input)
        assert kernel.data_type == onnx.TensorProto.INT8
        assert list(scales.dims) == [kernel.dims[0]]


def test_its_logits_are_near_those_of_the_float_net(found, exported, small):
    images = small.table.splits["PublicTest"].images
    wanted, got = (OnnxModel(path).logits(images) for path in (exported.path, found.exported.path))
    assert 0 < np.abs(wanted - got).max() < 0.1 * np.abs(wanted).max()


def test_a_loss_above_the_limit_publishes_nothing(exported, small, tmp_path):
    """Scales of black faces fit no other face."""
    training, public = (small.table.splits[usage] for usage in ("Training", "PublicTest"))
    black = replace(training, images=np.zeros_like(training.images))
    right = OnnxModel(exported.path).logits(public.images).argmax(axis=1).astype(np.uint8)
    splits = {"Training": black, "PublicTest": replace(public, labels=right)}
    with pytest.raises(ParityError, match=r"not written, in 8 bits the accuracy"):
        quantise(exported, tmp_path / "x.onnx", replace(small.table, splits=splits))
    assert list(tmp_path.iterdir()) == []
