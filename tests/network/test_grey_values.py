"""Faces may come to the training step as they are in the file: the bits are those of float32."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ferspore.network.resnet import Normalize
from ferspore.network.step import Schedule, StepSettings, TrainStep


class SmallNet(nn.Cell):
    """The normalisation of the real net, and a layer to learn."""

    def __init__(self):
        super().__init__()
        self.normalize = Normalize()
        self.head = nn.Dense(256, 7, weight_init="normal")

    def construct(self, faces):
        return self.head(self.normalize(faces).reshape(faces.shape[0], -1))


def test_uint8_faces_give_the_same_loss_and_weights():
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    faces = np.stack([rng.permutation(256) for _ in range(8)]).reshape(8, 1, 16, 16)
    targets = Tensor(np.eye(7, dtype=np.float32)[rng.integers(0, 7, 8)])
    network = SmallNet()
    network.normalize.mean.set_data(Tensor(np.array([129.4729], np.float32)))
    network.normalize.deviation.set_data(Tensor(np.array([64.87], np.float32)))
    step = TrainStep(network, StepSettings("sgd", 0.9, 5e-4, 0.999), Schedule(lambda _: 0.1, 9))
    step.set_train()
    start = {p.name: p.asnumpy().copy() for p in step.get_parameters()}
    ends = []
    for dtype in (np.uint8, np.float32):
        for parameter in step.get_parameters():
            parameter.set_data(Tensor(start[parameter.name]))
        losses = [float(step(Tensor(faces.astype(dtype)), targets).asnumpy()) for _ in range(3)]
        weights = {p.name: p.asnumpy().tobytes() for p in step.get_parameters()}
        ends.append((losses, weights))
    assert ends[0] == ends[1]
    assert losses[0] != losses[-1]
