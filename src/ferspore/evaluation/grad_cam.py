"""Where in a face the network sees an emotion: Grad-CAM over the last stage's maps.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV, equations 1 and 2: each map is weighted by the mean gradient of the
emotion's logit with respect to it, and what is positive in their sum speaks for the emotion.
"""

import numpy as np
from mindspore import Tensor, nn, ops
from PIL import Image

from ferspore.data.resize import resize
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.network.resnet import ResNet

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
    """Grad-CAM of one emotion for each face at the size that the net sees, enlarged to the face's
    pixels by bilinear interpolation.

    images: uint8 (N,48,48).
    emotions: integers (N,), the emotion whose logit is explained.

    Returns float32 (N,48,48), each map 0..1 with a maximum of 1; all 0 where no region speaks
    for the emotion.
    """
    grad_cam = GradCam(evaluator.network)
    size = evaluator.face_size
    images = resize(images, size)
    heat = np.zeros((len(images), FACE_SIZE, FACE_SIZE), np.float32)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        # Padded to a full batch, since another shape is another graph.
        faces = np.zeros((BATCH_SIZE, 1, size, size), np.float32)
        chosen = np.zeros((BATCH_SIZE, len(EMOTIONS)), np.float32)
        faces[: len(images[batch]), 0] = images[batch]
        chosen[np.arange(len(emotions[batch])), emotions[batch]] = 1.0
        maps = grad_cam(Tensor(faces), Tensor(chosen)).asnumpy()
        for row, small in zip(heat[batch], maps, strict=False):  # without the padding
            row[:] = _enlarged(small)
    return heat


def _enlarged(small: np.ndarray) -> np.ndarray:
    size = (FACE_SIZE, FACE_SIZE)
    heat = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BILINEAR))
    highest = heat.max()
    return heat / highest if highest > 0 else heat


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
