"""Network and faces -> logits and scores, always in evaluation mode."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mindspore import Tensor
from pydantic import ValidationError

from ferspore.config.schema import Data, Model
from ferspore.data.faces import Faces
from ferspore.data.resize import resize
from ferspore.evaluation.averaging import BATCH_SIZE, averaged_logits
from ferspore.evaluation.differences import network_differences
from ferspore.evaluation.scores import Scores, score
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.network.resnet import Architecture, ResNet, architecture_of
from ferspore.run.ckpt import Contents, UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.names import sidecar_path
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sound
from ferspore.tables import one_line

Sidecar = ModelSidecar | SnapshotSidecar

SMALL = 2**25  # weights of a net that may be built whatever the file holds: 128 MiB


class Evaluator:
    """A net of its own for evaluation, so that the one in training is never switched over."""

    def __init__(self, architecture: Architecture, face_size: int = FACE_SIZE):
        """``face_size``: pixels a side that the net was trained on; faces are resized to it."""
        self.face_size = face_size
        self.batch_size = BATCH_SIZE  # fewer where few faces come at a time; only rounding differs
        self.network = ResNet(architecture)
        self.network.set_train(False)
        self.parameters = {p.name: p for p in self.network.get_parameters()}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take ``weights``, every parameter of the net by its name.

        Raises:
            UnsoundError: names or shapes are not those of the net; nothing is loaded then.
        """
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        if faults := network_differences(shapes, {name: v.shape for name, v in weights.items()}):
            raise UnsoundError("; ".join(faults))
        for name, parameter in self.parameters.items():
            parameter.set_data(Tensor(np.asarray(weights[name], np.float32)))

    def logits(self, images: np.ndarray, *, tta: str | None = None) -> np.ndarray:
        """Logits float32 (N,7) of faces uint8 (N,48,48), the mean over their views (``tta``: a
        key of VIEWS, None for the faces alone)."""
        return averaged_logits(self._forward, images, tta)

    def finite_logits(self, images: np.ndarray, *, tta: str | None = None) -> np.ndarray:
        """``logits`` for a net that is to be used.

        Raises:
            UnsoundError: they are not finite.
        """
        logits = self.logits(images, tta=tta)
        if not np.isfinite(logits).all():
            raise UnsoundError("its logits are not finite; ferspore verify tells more")
        return logits

    def _forward(self, images: np.ndarray) -> np.ndarray:
        images = resize(images, self.face_size)
        logits = np.empty((len(images), len(EMOTIONS)), np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            # The last batch is padded to a full one, since another shape is another graph.
            padded = np.zeros((self.batch_size, 1, self.face_size, self.face_size), np.float32)
            padded[: len(batch), 0] = batch
            result = self.network(Tensor(padded)).asnumpy()
            logits[start : start + self.batch_size] = result[: len(batch)]
        return logits

    def score(self, faces: Faces, *, tta: str | None = None) -> Scores:
        """Scores over exactly all of ``faces``."""
        return score(self.logits(faces.images, tta=tta), faces.labels)


def architecture_in(tensors: Mapping[str, np.ndarray]) -> Architecture:
    """The architecture of the net that these tensors are the parameters of, from their shapes.

    Raises:
        UnsoundError: they are not of this network.
    """
    architecture = architecture_of({name: value.shape for name, value in tensors.items()})
    if architecture is None:
        names = ", ".join(map(one_line, list(tensors)[:3]))
        raise UnsoundError(f"it holds no network of ours (its tensors: {names}, ...)")
    try:  # the bounds of the configuration: a hostile shape must not make us build a huge net
        Model(**asdict(architecture))
    except ValidationError as error:
        raise UnsoundError(
            f"its network is beyond what the configuration allows: {architecture}"
        ) from error
    refuse_too_large(architecture, tensors)
    return architecture


def refuse_too_large(architecture: Architecture, tensors: Mapping[str, np.ndarray]) -> None:
    """Empty tensors may declare a net of gigabytes: the file must hold a good part of it.

    Raises:
        UnsoundError: it does not.
    """
    held = sum(value.size for value in tensors.values())
    if architecture.convolved > SMALL + 4 * held:
        raise UnsoundError(
            f"it declares a network of {architecture.convolved:,} weights and holds {held:,} values"
        )


def weights_in(contents: Contents) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Architecture and weights of the net in a checkpoint of any kind.

    A snapshot's moving average stands in for its weights, as in its evaluation.

    Raises:
        UnsoundError: it is no checkpoint of this network.
    """
    averages = {
        name.removeprefix("ema."): value
        for name, value in contents.tensors.items()
        if name.startswith("ema.")
    }
    tensors = {**contents.tensors, **averages}
    architecture = architecture_in(tensors)
    names = [parameter.name for parameter in ResNet(architecture).get_parameters()]
    return architecture, {name: tensors[name] for name in names if name in tensors}


def face_size_of(contents: Contents, sidecar: Sidecar | None) -> int:
    """Pixels a side of the faces that a checkpoint's net sees: what its sidecar says, else the
    number inside the file, else 48.

    Raises:
        UnsoundError: that is no size that a configuration allows.
    """
    told = contents.info.get("face_size", FACE_SIZE) if sidecar is None else sidecar.face_size
    try:
        return Data(face_size=told).face_size
    except ValidationError as error:
        raise UnsoundError(f"its face_size {told}: {error.errors()[0]['msg']}") from error


def read_checkpoint(path: Path) -> tuple[Contents, Sidecar | None, list[str]]:
    """A sound checkpoint, its sidecar if it has one, and lines for the user.

    Raises:
        UnsoundError: the file is damaged, or no checkpoint.
        OSError: it cannot be read.
    """
    if sidecar_path(path).exists():
        return *read_sound(path), []
    contents = read_ckpt(path)
    refuse_not_finite(contents.tensors)
    line = f"{path}: no sidecar; the network is built from the shapes in the file"
    if "face_size" not in contents.info:
        line += f", faces of {FACE_SIZE}x{FACE_SIZE} are assumed"
    return contents, None, [line]


def load_evaluator(path: Path) -> tuple[Evaluator, list[str]]:
    """The network of a checkpoint, ready to judge faces, and lines for the user.

    Raises:
        UnsoundError: the file is damaged, or no checkpoint of this network.
        OSError: it cannot be read.
    """
    contents, sidecar, lines = read_checkpoint(path)
    return evaluator_of(contents, sidecar), lines


def evaluator_of(contents: Contents, sidecar: Sidecar | None) -> Evaluator:
    """Raises UnsoundError where the contents are not those of this network."""
    architecture, weights = weights_in(contents)
    evaluator = Evaluator(architecture, face_size_of(contents, sidecar))
    evaluator.load(weights)
    return evaluator
