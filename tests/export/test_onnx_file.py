"""Every file that is no export of ours is refused in one line."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ferspore.export.onnx_file import LARGEST, OPERATORS, digest_of, parse, seal
from ferspore.export.onnx_model import AT_ONCE, OnnxModel
from ferspore.run.ckpt import UnsoundError


@pytest.fixture
def model(exported) -> onnx.ModelProto:
    return parse(exported.path.read_bytes())


def resealed(model, exported, **metadata) -> bytes:
    """As one who knows the digest would write it."""
    return seal(model, {**exported.metadata, **metadata})


def refused(content: bytes, folder: Path) -> str:
    path = folder / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UnsoundError) as caught:
        OnnxModel(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_not_onnx_is_refused(exported, tmp_path):
    content = exported.path.read_bytes()
    assert refused(b"", tmp_path) == "it is empty"
    for other in (
        b"\x89PNG\r\n\x1a\n" * 9,
        "名前".encode() * 99,
        b"hello",
        content[: len(content) // 2],
    ):
        assert refused(other, tmp_path).startswith("it is not an ONNX file")


def test_a_changed_byte_and_a_cut_off_end_are_noticed(exported, model, tmp_path):
    content = bytearray(exported.path.read_bytes())
    weights = model.graph.initializer[2].raw_data
    content[bytes(content).index(weights) + 5] ^= 1
    assert "changed after its export, or is damaged" in refused(bytes(content), tmp_path)
    del model.opset_import[:]  # the last field: what a cut at a message's end loses
    assert "changed after its export" in refused(model.SerializeToString(), tmp_path)


def test_a_file_of_another_program_is_refused(model, tmp_path):
    del model.metadata_props[:]
    assert "written by `ferspore export`" in refused(model.SerializeToString(), tmp_path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)  # a hole: it takes no room
    with pytest.raises(UnsoundError, match="expected at most"):
        OnnxModel(path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"face_size": "0"}, "face_size is '0'"),
        ({"face_size": "9" * 99}, "face_size is"),
        ({"face_size": "4999"}, "face_size is '4999', expected 1 to 48 pixels"),
        ({"face_size": "17"}, "its inputs and outputs of a face are"),
        ({"labels": json.dumps(["happy"])}, "its labels are"),
    ],
)
def test_texts_that_are_not_of_the_net_are_refused(metadata, said, model, exported, tmp_path):
    assert said in refused(resealed(model, exported, **metadata), tmp_path)


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_sparse(model):
    """ONNX Runtime reads such a file from the current folder."""
    node = helper.make_node("Constant", [], ["outside"])
    weights = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    weights.sparse_tensor.dims[:] = [4]
    values = weights.sparse_tensor.values
    values.CopyFrom(TensorProto(dims=[1], data_type=TensorProto.FLOAT, name="values"))
    values.data_location = TensorProto.EXTERNAL
    values.external_data.add(key="location", value="secret")
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    weights.sparse_tensor.indices.CopyFrom(places)
    model.graph.node.insert(0, node)


def own_operator(model):
    model.graph.node[0].domain = "com.example"


def loop(model):
    model.graph.node[0].op_type = "Loop"


def function(model):
    model.functions.add(name="Relu", domain="")


def wide_margin(model):
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    next(one for one in node.attribute if one.name == "pads").ints[:] = [2**30] * 4


def broadcast(model):
    """A few kilobytes that become terabytes."""
    shapes = {"a": (10**4, 1, 1, 1), "b": (1, 10**4, 1, 1)}
    for name, shape in shapes.items():
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    model.graph.node.insert(0, helper.make_node("Add", ["a", "b"], ["huge"]))


def other_output(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8


def misfit(model):
    for name, side in (("a", 2), ("b", 3)):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(side, np.float32), name))
    model.graph.node.insert(0, helper.make_node("Add", ["a", "b"], ["torn"]))


def torn_weights(model):
    kernel = next(one for one in model.graph.initializer if one.name == "head.weight")
    kernel.dims[:] = [7, 15]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "another file (external data)"),
        (external_sparse, "it has sparse weights"),
        (own_operator, "the operator 'com.example.Sub'"),
        (loop, "the operator 'Loop'"),
        (function, "operators of its own"),
        (wide_margin, "'pads' is above 64"),
        (broadcast, "'huge' has the shape"),
        (other_output, "its inputs and outputs of a face are"),
        (misfit, "its shapes do not fit together"),
        (torn_weights, "ONNX Runtime refuses it"),
    ],
)
def test_what_could_harm_is_not_run(change, said, model, exported, tmp_path):
    change(model)
    assert said in refused(resealed(model, exported), tmp_path)


def test_views_do_not_multiply_the_faces_that_are_judged_at_once(exported, monkeypatch):
    opened, sizes = OnnxModel(exported.path), []

    def forward(faces):
        sizes.append(len(faces))
        return np.eye(7, dtype=np.float32)[np.zeros(len(faces), int)]

    monkeypatch.setattr(opened, "forward", forward)
    assert opened.logits(np.zeros((40, 48, 48), np.uint8), tta="10").shape == (40, 7)
    assert max(sizes) == AT_ONCE and sum(sizes) == 400


def test_an_export_is_sealed_and_made_of_known_operators(model):
    told = {text.key: text.value for text in model.metadata_props}
    assert told["digest"] == digest_of(model)
    assert {node.op_type for node in model.graph.node} < OPERATORS
    onnx.checker.check_model(model, full_check=True)
