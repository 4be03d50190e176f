"""The size of face that a checkpoint's net sees: from its sidecar, from the file, or assumed."""

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from ferspore.data.practice import draw_faces
from ferspore.evaluation.evaluator import architecture_in, load_evaluator
from ferspore.network.resnet import Architecture, build_network
from ferspore.run.ckpt import UnsoundError
from ferspore.run.sidecar import describe_file, seal
from tests.runs import save_weights

NETWORK = build_network(Architecture("3x3", (4, 8), (1, 1), squeeze_excite=False), seed=3)
UNKNOWN = {
    **{"kind": "best", "run": "", "sequence": 0, "best_accuracy": None, "best_epoch": None},
    **{"epoch": 1, "monitor": "val_accuracy", "usage": "PublicTest", "val_loss": None},
    **{"parameters": 0, "classes": [], "config": {}, "data": {}, "command": "", "history": []},
}


def save(folder, inside, beside):
    """NETWORK with its size of face told inside the file and in its sidecar, where there is one."""
    path = folder / "model.ckpt"
    weights = {p.name: p.asnumpy() for p in NETWORK.get_parameters()}
    save_weights(path, weights, {} if inside is None else {"face_size": inside})
    if beside is not None:
        values = {**describe_file(path, path.name), **UNKNOWN, "face_size": beside}
        path.with_suffix(".json").write_bytes(seal(values))
    return path


@pytest.mark.parametrize(
    "inside, beside, size, said",
    [
        (None, 24, 24, []),
        (20, 24, 24, []),  # the sidecar wins
        (24, None, 24, ["no sidecar; the network is built from the shapes in the file"]),
        (
            *(None, None, 48),
            ["no sidecar; the network is built from the shapes in the file, faces of 48x48 are "
             "assumed"],
        ),
    ],
)  # fmt: skip
def test_faces_are_judged_at_the_size_that_the_net_sees(tmp_path, inside, beside, size, said):
    path = save(tmp_path, inside, beside)
    evaluator, lines = load_evaluator(path)
    assert evaluator.face_size == size and lines == [f"{path}: {line}" for line in said]
    faces, _ = draw_faces(7, np.random.default_rng(1))
    small = [Image.fromarray(face).resize((size, size), Image.BILINEAR) for face in faces]
    NETWORK.set_train(False)
    expected = NETWORK(Tensor(np.stack(small)[:, None].astype(np.float32))).asnumpy()
    np.testing.assert_allclose(evaluator.logits(faces), expected, atol=1e-5)


def test_logits_of_several_views_are_the_mean_of_each_ones(tmp_path):
    """The shifts are in pixels of 48, whatever size the net sees."""
    evaluator, _ = load_evaluator(save(tmp_path, None, 24))
    faces, _ = draw_faces(7, np.random.default_rng(1))
    padded = np.pad(faces, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    corners = [(2, 2), (4, 2), (0, 2), (2, 4), (2, 0)]  # still, up, down, left, right
    moved = [padded[:, top : top + 48, left : left + 48] for top, left in corners]
    alone = [evaluator.logits(view) for face in moved for view in (face, face[:, :, ::-1])]
    for tta, count in ((None, 1), ("flip", 2), ("10", 10)):
        logits = evaluator.logits(faces, tta=tta)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, np.mean(alone[:count], axis=0), atol=1e-6)
    assert np.abs(alone[0] - np.array(alone[1:])).max(axis=(1, 2)).min() > 1e-3  # views differ
    assert evaluator.logits(faces[:0], tta="10").shape == (0, 7)


@pytest.mark.parametrize("size", [-1, 0, 15, 49, 1024, 2**40, 24.0, float("nan")])
def test_a_size_that_no_configuration_allows_is_refused(tmp_path, size):
    with pytest.raises(UnsoundError, match=f"face_size {size}: Input should be"):
        load_evaluator(save(tmp_path, size, None))


@pytest.mark.parametrize("size", [15, 49, 1024])
def test_such_a_size_in_a_sidecar_is_refused(tmp_path, size):
    with pytest.raises(UnsoundError, match=f"face_size {size}: Input should be"):
        load_evaluator(save(tmp_path, 48, size))


def test_a_net_that_is_not_finite_is_refused_without_its_sidecar(tmp_path):
    weights = {p.name: p.asnumpy() for p in NETWORK.get_parameters()}
    save_weights(tmp_path / "a.ckpt", {**weights, "head.bias": np.full(7, np.nan, np.float32)}, {})
    with pytest.raises(UnsoundError, match=r"not finite, in head\.bias"):
        load_evaluator(tmp_path / "a.ckpt")


def test_empty_tensors_do_not_make_a_large_network():
    """A file of 2 kB declared 2.4 billion weights, which were built before the shapes
    were compared."""
    empty = np.zeros((2048, 0, 3, 3), np.float32)
    blocks = {f"stages.{i}.{j}.conv1.weight": empty for i in range(4) for j in range(8)}
    with pytest.raises(UnsoundError, match=r"declares a network of 2,415,919,104 weights"):
        architecture_in({"stem.0.weight": np.zeros((0, 1, 3, 3), np.float32), **blocks})


def test_convolved_counts_the_blocks_weights():
    kernels = [p for p in NETWORK.get_parameters() if p.ndim == 4 and p.name.startswith("stages")]
    assert NETWORK.architecture.convolved == sum(p.size for p in kernels if p.shape[2:] == (3, 3))
