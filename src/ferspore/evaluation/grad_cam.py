"""Where in a face the network sees an emotion: Grad-CAM over the last stage's maps.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV, equations 1 and 2: each map is weighted by the mean gradient of the
emotion's logit with respect to it, and what is positive in their sum speaks for the emotion.

A map's cells are laid on the face where they look, not spread evenly over it: a convolution of
stride 2 that is padded at both sides looks at every second pixel from the first one, so the last
cell lies further from the border than the first.
"""

import numpy as np
from mindspore import Tensor, nn, ops

from ferspore.data.resize import resize
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.network.resnet import Architecture, ResNet

BATCH_SIZE = 32  # faces a pass; the maps do not depend on it


class GradCam(nn.Cell):
    """Faces (B,1,S,S) float32, chosen (B,7) float32 one-hot -> maps (B,h,w) float32 >= 0.

    The maps have the size of the last stage's. ``network`` has to be in evaluation mode: in
    training the batch statistics would make a face's map depend on its neighbours.
    """

    def __init__(self, network: ResNet):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradient = ops.grad(self.chosen_logits)

    def chosen_logits(self, maps, chosen):
        """The sum of the chosen logits; each depends on its own face's maps only."""
        logits = self.network.classify(maps)
        return ops.sum(logits * chosen)

    def construct(self, faces, chosen):
        maps = self.network.features(faces)  # (B, C, h, w)
        weights = ops.mean(self.gradient(maps, chosen), (2, 3), True)  # (B, C, 1, 1)
        return ops.relu(ops.sum(weights * maps, 1))  # (B, h, w)


def heat_maps(evaluator: Evaluator, images: np.ndarray, emotions: np.ndarray) -> np.ndarray:
    """Grad-CAM of one emotion for each face at the size that the net sees, at the face's pixels by
    bilinear interpolation between the cells' centres, see ``places``.

    images: uint8 (N,48,48).
    emotions: integers (N,), the emotion whose logit is explained.

    Returns float32 (N,48,48), each map 0..1 with a maximum of 1; all 0 where no region speaks
    for the emotion.
    """
    grad_cam = GradCam(evaluator.network)
    size = evaluator.face_size
    images = resize(images, size)
    heat = np.zeros((len(images), FACE_SIZE, FACE_SIZE), np.float32)
    at = places(evaluator.network.architecture, size)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        # Padded to a full batch, since another shape is another graph.
        faces = np.zeros((BATCH_SIZE, 1, size, size), np.float32)
        chosen = np.zeros((BATCH_SIZE, len(EMOTIONS)), np.float32)
        faces[: len(images[batch]), 0] = images[batch]
        chosen[np.arange(len(emotions[batch])), emotions[batch]] = 1.0
        maps = grad_cam(Tensor(faces), Tensor(chosen)).asnumpy()
        heat[batch] = _enlarged(maps[: len(images[batch])], at)
    return heat


def places(architecture: Architecture, face_size: int) -> np.ndarray:
    """Where the face's pixels lie among the cells of the last stage's maps, along one side:
    float64 (48,), 0 at the centre of the first cell and 1 at that of the second.

    The stem and each stage but the first halve the maps. A 3x3 stem does it by pooling, whose
    centres lie between two pixels.
    """
    first = 0.5 if architecture.stem == "3x3" else 0.0
    pixels = (np.arange(FACE_SIZE) + 0.5) * face_size / FACE_SIZE - 0.5  # of the face that it sees
    return (pixels - first) / 2 ** len(architecture.channels)


def _enlarged(maps: np.ndarray, at: np.ndarray) -> np.ndarray:
    cells = range(maps.shape[1])
    shares = np.array([np.interp(at, cells, cell) for cell in np.eye(len(cells))])  # (h, 48)
    heat = shares.T @ maps @ shares
    highest = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, highest, out=heat, where=highest > 0)


def choose_faces(labels: np.ndarray, num_samples: int, seed: int) -> dict[str, np.ndarray]:
    """Rows, in order, of ``num_samples`` random faces of each emotion; fewer where it has fewer."""
    rng = np.random.default_rng(seed)
    rows = {emotion: np.flatnonzero(labels == code) for code, emotion in enumerate(EMOTIONS)}
    return {emotion: np.sort(rng.permutation(own)[:num_samples]) for emotion, own in rows.items()}


def explain(evaluator: Evaluator, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (N,7) of faces uint8 (N,48,48), and the heat maps float32 (N,48,48)
    of their predicted emotions.

    Raises:
        UnsoundError: the network's logits are not finite.
    """
    logits = evaluator.finite_logits(images)
    return softmax(logits), heat_maps(evaluator, images, logits.argmax(1))
