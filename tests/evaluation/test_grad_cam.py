"""Grad-CAM against finite differences of the network's own head; then the pictures made of it."""

import numpy as np
import pytest
from mindspore import Tensor, nn
from PIL import Image

from ferspore.cli import common
from ferspore.cli import explain as tool
from ferspore.data.faces import Faces
from ferspore.data.practice import draw_faces
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.grad_cam import (
    BATCH_SIZE,
    GradCam,
    choose_faces,
    explain,
    heat_maps,
)
from ferspore.labels import EMOTIONS
from ferspore.network.resnet import Architecture
from ferspore.pictures import style
from ferspore.pictures.heat import Explained, heat_rows, overlay
from ferspore.run.ckpt import UnsoundError
from tests import runs
from tests.runs import save_weights

COUNT = 14  # faces, two of each emotion


def random_weights(evaluator: Evaluator, seed: int) -> dict[str, np.ndarray]:
    """Weights with which each face has logits of its own; the heads' are large enough for it."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, parameter in evaluator.parameters.items():
        value = rng.normal(0.0, 0.5, parameter.shape)
        if name.endswith(("gamma", "moving_variance")):
            value = 1 + np.abs(value)
        if name == "normalize.deviation":
            value = np.array([64.0])
        weights[name] = value.astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    made = Evaluator(Architecture("3x3", (4, 8), (1, 1), squeeze_excite=False))
    made.load(random_weights(made, seed=4))
    return made


@pytest.fixture(scope="module")
def faces() -> Faces:
    images, labels = draw_faces(200, np.random.default_rng(2))
    rows = np.concatenate([np.flatnonzero(labels == code)[:2] for code in range(len(EMOTIONS))])
    return Faces(images[rows], labels[rows])


def as_input(images: np.ndarray) -> Tensor:
    return Tensor(images[:, None].astype(np.float32))


class Features(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, faces):
        return self.network.features(faces)


def by_finite_differences(head: nn.Cell, maps: np.ndarray, emotion: int) -> np.ndarray:
    """Equations 1 and 2 of the paper for one face's maps (C,h,w), without any gradient."""
    step = 0.05
    moved = np.repeat(maps[None], 2 * maps.size, axis=0).reshape(2, maps.size, maps.size)
    moved[0] += step * np.eye(maps.size, dtype=np.float32)
    moved[1] -= step * np.eye(maps.size, dtype=np.float32)
    pooled = moved.reshape(2 * maps.size, *maps.shape).mean((2, 3), dtype=np.float64)
    logits = head(Tensor(pooled.astype(np.float32))).asnumpy()[:, emotion].astype(np.float64)
    slopes = (logits[: maps.size] - logits[maps.size :]) / (2 * step)
    weights = slopes.reshape(maps.shape).mean((1, 2))  # of each map: equation 1
    return np.maximum(np.tensordot(weights, maps, 1), 0)


def other_head(channels: int) -> nn.Cell:
    """A head whose gradient is not its weights: it depends on the face."""
    rng = np.random.default_rng(9)

    def dense(inputs: int, outputs: int) -> nn.Dense:
        kernel = rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs)).astype(np.float32)
        return nn.Dense(inputs, outputs, weight_init=Tensor(kernel), bias_init="zeros")

    return nn.SequentialCell([dense(channels, 5), nn.Tanh(), dense(5, len(EMOTIONS))])


@pytest.mark.parametrize("changed", [False, True], ids=["our head", "another head"])
def test_maps_equal_finite_differences(faces, changed):
    evaluator = Evaluator(Architecture("3x3", (4, 8), (1, 1), squeeze_excite=changed))
    evaluator.load(random_weights(evaluator, seed=4))
    network = evaluator.network
    if changed:
        network.head = other_head(8)
        network.set_train(False)
    maps = Features(network)(as_input(faces.images)).asnumpy()
    logits = evaluator.logits(faces.images)
    own = network.head(Tensor(maps.mean((2, 3)))).asnumpy()
    np.testing.assert_allclose(own, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())

    emotions = np.arange(COUNT) % len(EMOTIONS)
    chosen = Tensor(np.eye(len(EMOTIONS), dtype=np.float32)[emotions])
    heat = GradCam(network)(as_input(faces.images), chosen).asnumpy()
    for row in range(COUNT):
        expected = by_finite_differences(network.head, maps[row], int(emotions[row]))
        np.testing.assert_allclose(heat[row], expected, atol=0.01 * np.abs(heat).max(), rtol=0)
    assert (heat.max((1, 2)) > 0).sum() > COUNT // 3  # not equal because nothing is there


@pytest.mark.parametrize("seen", [48, 24])
def test_heat_is_the_maps_enlarged_between_the_centres_of_their_cells(evaluator, faces, seen):
    """At the size that the net was trained on; its head is linear, so the maps' gradients are
    the head's weights (but for a factor)."""
    trained = Evaluator(evaluator.network.architecture, seen)
    trained.load(random_weights(trained, seed=4))
    emotions = np.asarray(faces.labels, np.int64)
    images = [Image.fromarray(face).resize((seen, seen), Image.BILINEAR) for face in faces.images]
    maps = Features(evaluator.network)(as_input(np.stack(images))).asnumpy()
    head = evaluator.network.head.weight.asnumpy()[emotions]
    small = np.maximum(np.einsum("nc,nchw->nhw", head, maps), 0)
    heat = heat_maps(trained, faces.images, emotions)
    size = small.shape[1]
    # The pixels between which the centres lie: pooling 0 and 1, 2 and 3, ...; then every second
    # of these. np.interp holds the edges.
    at = ((np.arange(48) + 0.5) * seen / 48 - 0.5 - 0.5) / 4
    for row in range(COUNT):
        wide = np.array([np.interp(at, np.arange(size), line) for line in small[row]])
        high = np.array([np.interp(at, np.arange(size), line) for line in wide.T]).T
        expected = high / high.max() if high.max() > 0 else high
        np.testing.assert_allclose(heat[row], expected, atol=1e-5)
    assert size == seen // 4 and heat.any()


def test_heat_is_from_0_to_1_and_does_not_depend_on_the_batch(evaluator, faces):
    images = np.concatenate([faces.images] * 4)[: BATCH_SIZE + 9]
    emotions = np.arange(len(images)) % len(EMOTIONS)
    heat = heat_maps(evaluator, images, emotions)
    assert heat.shape == (BATCH_SIZE + 9, 48, 48) and heat.dtype == np.float32
    assert heat.min() >= 0
    assert set(heat.max((1, 2)).tolist()) <= {0.0, 1.0} and heat.max() == 1.0
    from_the_end = heat_maps(evaluator, images[::-1], emotions[::-1])
    np.testing.assert_allclose(from_the_end[::-1], heat, atol=1e-5)
    assert heat_maps(evaluator, images[:0], emotions[:0]).shape == (0, 48, 48)


def draw_explanations(evaluator, faces, rows, title, known=True):
    found = zip(*explain(evaluator, faces.images[rows]), strict=True)
    explained = [
        Explained(
            faces.images[row], *next(found), int(faces.labels[row]) if known else None, f"{row}"
        )
        for row in rows
    ]
    return heat_rows([("these", explained)], title)


def test_a_head_that_looks_at_nothing_gives_no_heat(faces):
    evaluator = Evaluator(Architecture("3x3", (4, 8), (1, 1), squeeze_excite=False))
    weights = random_weights(evaluator, seed=4)
    evaluator.load({**weights, "head.weight": np.zeros_like(weights["head.weight"])})
    figure = draw_explanations(evaluator, faces, [0], "A face")
    assert any("no heat" in text.get_text() for text in figure.texts)
    drawn = figure.axes[0].get_images()[0].get_array()
    assert (drawn[:, 48:] == faces.images[0][..., None]).all()


def test_overlay_is_the_face_where_there_is_no_heat():
    face = np.arange(48 * 48).reshape(48, 48).astype(np.uint8)
    heat = np.zeros((48, 48), np.float32)
    heat[:, 24:] = 1.0
    picture = overlay(face, heat)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.uint8
    assert (picture[:, :24] == face[:, :24, None]).all()
    hot = picture[:, 24:].astype(int)
    assert (hot[..., 0] > hot[..., 2] + 30).all()  # coloured, at any grey below


def test_chosen_faces_are_of_their_emotion_and_reproducible():
    labels = np.repeat(np.arange(6, dtype=np.uint8), [50, 1, 50, 50, 50, 50])  # no neutral one
    chosen = choose_faces(labels, 3, seed=5)
    assert list(chosen) == list(EMOTIONS)
    assert [len(rows) for rows in chosen.values()] == [3, 1, 3, 3, 3, 3, 0]
    for code, rows in enumerate(chosen.values()):
        assert (labels[rows] == code).all() and len(set(rows.tolist())) == len(rows)
    again, other = choose_faces(labels, 3, seed=5), choose_faces(labels, 3, seed=6)
    assert all((chosen[name] == again[name]).all() for name in EMOTIONS)
    assert any((chosen[name] != other[name]).any() for name in EMOTIONS)


def test_the_grid_tells_prediction_confidence_and_truth(evaluator, faces):
    logits = evaluator.logits(faces.images)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    rows = [3, 11]
    figure = draw_explanations(evaluator, faces, rows, "Two faces")
    said = [text.get_text() for text in figure.texts]
    expected = ["Two faces", "these"]
    for row in rows:
        predicted, confidence = EMOTIONS[logits[row].argmax()], shares[row].max()
        expected += [f"{row}, true {EMOTIONS[faces.labels[row]]}"]
        expected += [f"predicted {predicted} {confidence:.2f}"]
    assert said[:-1] == expected and said[-1].startswith("no part in the prediction (grey)")
    *drawn, scale = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert [image.shape for image in drawn] == [(48, 96, 3)] * 2
    assert (drawn[0][:, :48] == faces.images[3][..., None]).all()
    own = heat_maps(evaluator, faces.images[rows], logits[rows].argmax(1))
    assert (drawn[1][:, 48:] == overlay(faces.images[11], own[1])).all()
    assert (scale[0, 0] == 128).all() and scale[0, -1, 0] > scale[0, -1, 2] + 30
    again = draw_explanations(evaluator, faces, rows, "Two faces")
    assert style.png(figure) == style.png(again)
    unknown = draw_explanations(evaluator, faces, rows, "Two faces", known=False)
    assert not any("true" in text.get_text() for text in unknown.texts)


def test_a_network_without_finite_answers_is_refused(faces):
    evaluator = Evaluator(Architecture("3x3", (4, 8), (1, 1), squeeze_excite=False))
    weights = random_weights(evaluator, seed=4)
    evaluator.load({**weights, "head.bias": np.full(7, np.nan, np.float32)})
    with pytest.raises(UnsoundError, match="not finite"):
        draw_explanations(evaluator, faces, [0], "never drawn")


# --- the script -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory, evaluator):
    made = tmp_path_factory.mktemp("explain")
    runs.small_csv(made / "data.csv")
    weights = {name: p.asnumpy() for name, p in evaluator.parameters.items()}
    save_weights(made / "tiny.ckpt", weights, {})
    return made


def script(folder, *more):
    words = ["--csv", folder / "data.csv", "--ckpt", folder / "tiny.ckpt", "--output", folder / "x"]
    tool.work(tool.parser().parse_args([*map(str, words), "--device_target", "CPU", *more]))


def test_the_script_draws_the_faces_that_are_named(folder, capsys):
    script(folder, "--index", "37, 1", "--usage", "PublicTest")
    assert "chosen faces: 2 drawn" in capsys.readouterr().out
    first = (folder / "x" / "grad_cam.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    script(folder, "--num_samples", "1", "--usage", "PrivateTest")
    assert (folder / "x" / "grad_cam.png").read_bytes() != first


def test_the_script_draws_the_faces_of_photos(folder, faces, capsys):
    path = folder / "photo.png"
    Image.fromarray(faces.images[0]).save(path)
    words = ["--ckpt", folder / "tiny.ckpt", "--output", folder / "photos"]

    def explained(*more, how="--no_detect"):
        given = [*map(str, words), *how.split(), "--device_target", "CPU", *more]
        tool.work(tool.parser().parse_args(given))

    explained("--image", str(path))
    assert "photo.png: 1 drawn" in capsys.readouterr().out
    assert (folder / "photos" / "grad_cam.png").read_bytes().startswith(b"\x89PNG")
    for more, message in (
        (("--image", str(folder / "none.png")), "none.png: no such file"),
        (("--image", str(path), "--csv", "practice"), "either a --csv or an --image"),
        ((), "either a --csv or an --image"),
        (("--image", str(path), "--seed", "7"), "--seed does nothing with --image"),
        (("--csv", "practice"), "--no_detect does nothing with --csv"),
    ):
        with pytest.raises(common.ToolError, match=message):
            explained(*more)
    with pytest.raises(common.ToolError, match="--detector does nothing with --csv"):
        explained("--csv", "practice", how="--detector cascade")


def test_a_face_that_is_not_there_is_refused(folder):
    with pytest.raises(common.ToolError, match="no face 38; PublicTest has 37"):
        script(folder, "--index", "3,38")


@pytest.mark.parametrize("value", ["0", "-1", "x", "1,,2", "", "1.5", ",".join(["1"] * 51)])
def test_wrong_face_numbers_are_misuse(folder, value, capsys):
    with pytest.raises(SystemExit) as stop:
        script(folder, f"--index={value}")
    assert stop.value.code == 2
    assert "--index" in capsys.readouterr().err


def test_a_checkpoint_that_is_none_is_refused(folder):
    (folder / "text.ckpt").write_text("no checkpoint")
    for name, fault in (
        ("text.ckpt", "text.ckpt: "),
        ("none.ckpt", "no such file"),
        (".", "folder"),
    ):
        with pytest.raises(common.ToolError, match=fault):
            script(folder, "--ckpt", str(folder / name))
