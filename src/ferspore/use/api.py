"""The Python interface: a trained model that judges faces and images, and the faces of a CSV."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferspore import runtime
from ferspore.labels import DETECTORS, EMOTIONS, FACE_SIZE, VIEWS

if TYPE_CHECKING:
    from ferspore.data.faces import Faces
    from ferspore.evaluation.evaluator import Evaluator
    from ferspore.use.prediction import Prediction


class Model:
    """A trained network; ``load_model`` makes one. ``path`` is its checkpoint."""

    emotions = EMOTIONS

    def __init__(self, path: Path, evaluator: "Evaluator"):
        self.path = path
        self._evaluator = evaluator

    def predict(self, faces: np.ndarray, *, tta: str | None = None) -> np.ndarray:
        """Probabilities float64 (N,7), in the order of ``emotions``, of faces uint8 (N,48,48),
        cropped as FER2013's are. ``tta`` averages "flip" (2) or "10" views of each face.

        Raises:
            ValueError: the array has another shape or dtype, or ``tta`` is neither.
            UnsoundError: the net's logits are not finite.
        """
        from ferspore.evaluation.scores import softmax

        faces = np.asarray(faces)
        if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1:] != (FACE_SIZE, FACE_SIZE):
            raise ValueError(
                f"faces: received {faces.dtype} {faces.shape}, expected uint8 (N, {FACE_SIZE}, "
                f"{FACE_SIZE}); `predict_image` finds the faces in photographs"
            )
        if tta is not None and tta not in VIEWS:
            raise ValueError(f"tta: received {tta!r}, expected None or {' or '.join(VIEWS)}")
        return softmax(self._evaluator.finite_logits(faces, tta=tta))

    def predict_image(
        self,
        image: str | os.PathLike[str],
        *,
        detector: str = next(iter(DETECTORS)),
        tta: str | None = None,
    ) -> "list[Prediction]":
        """The faces in an image file, from left to right: each has its ``square`` (left, top,
        side, angle), ``probabilities`` in the order of ``emotions``, ``emotion``, ``confidence``.

        Raises:
            ValueError: there is no such detector, or ``tta`` is no key of VIEWS.
            OSError: the image cannot be used; the message names it.
            RuntimeError: the detector is not installed.
            UnsoundError: the net's logits are not finite.
        """
        from ferspore.use.detection import face_detector
        from ferspore.use.faces import cut_face
        from ferspore.use.images import read_picture
        from ferspore.use.prediction import Prediction

        if detector not in DETECTORS:
            raise ValueError(f"detector: received {detector!r}, expected {' or '.join(DETECTORS)}")
        picture = read_picture(Path(image))
        squares = face_detector(detector).find(picture)
        faces = [cut_face(picture, square) for square in squares]
        pixels = np.array(faces, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE)
        rows = self.predict(pixels, tta=tta).tolist()
        return [Prediction(square, row) for square, row in zip(squares, rows, strict=True)]


def load_model(path: str | os.PathLike[str] | None = None, *, device: str | None = None) -> Model:
    """The model of a checkpoint or of a run's folder (its best); without a path the shipped one.

    device: "CPU", "GPU" or "Ascend"; None takes an Ascend if there is one, else the CPU.

    Raises:
        UnsoundError: the file is damaged, or no checkpoint of ours.
        ValueError: the folder holds no model, or the device is not available.
        OSError: the file cannot be read.
    """
    if "mindspore" not in sys.modules:
        runtime.prepare()
    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.run.model_of import SHIPPED, model_of

    runtime.select_device(device)
    found = model_of(SHIPPED if path is None else Path(path))
    return Model(found, load_evaluator(found)[0])


def load_faces(csv: str | os.PathLike[str], split: str) -> "Faces":
    """The faces of one split ("Training", "PublicTest" or "PrivateTest") of a FER2013 file, or of
    "practice", the built-in drawn faces: ``images`` uint8 (N,48,48) and ``labels`` uint8 (N,).

    Raises:
        ValueError: the file cannot be used; the message says where and why.
    """
    from ferspore.data.csv import load_csv
    from ferspore.data.practice import csv_path

    table = load_csv(csv_path(os.fspath(csv)), (split,), report=lambda line: None)
    return table.splits[split]
