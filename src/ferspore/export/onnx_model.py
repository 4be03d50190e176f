"""An ONNX file of ours -> logits, by ONNX Runtime. MindSpore is not needed."""

from pathlib import Path

import numpy as np

from ferspore.data.resize import resize
from ferspore.evaluation.averaging import averaged_logits
from ferspore.export.interface import INPUT, OUTPUTS
from ferspore.export.onnx_file import checked, first_line, parse, read_bounded
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import UnsoundError

AT_ONCE = 16  # faces: of the largest map that is not refused they take a gigabyte


class MissingPackageError(RuntimeError):
    """A package that ONNX files need is not installed; the message says how to get it."""


def require_packages() -> None:
    """
    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX files need onnx and onnxruntime ({error}): python -m pip install "
            "'onnx>=1.19,<2' 'onnxruntime>=1.22,<2' 'numpy<2'"
        ) from None


class OnnxModel:
    """The net of an ONNX file. ``metadata`` holds its texts, see docs/export.md; ``threads`` are
    those of ONNX Runtime, 0 for as many as there are cores.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        UnsoundError: the file is damaged, or no export of ours.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, *, threads: int = 0):
        require_packages()
        import onnxruntime

        content = read_bounded(path)
        self.metadata = checked(parse(content))
        self.face_size = int(self.metadata["face_size"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # it both logs a fault and raises it
        try:
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes have no common base of their own
            raise UnsoundError(f"ONNX Runtime refuses it: {first_line(error)}") from error

    def forward(self, faces: np.ndarray) -> np.ndarray:
        """Logits float32 (N,7) of grey values float32 (N,1,S,S), S being ``face_size``.

        Raises:
            UnsoundError: the net cannot be run.
        """
        try:
            (logits,) = self.session.run([OUTPUTS[0]], {INPUT: faces})
        except Exception as error:
            raise UnsoundError(f"ONNX Runtime cannot run it: {first_line(error)}") from error
        if logits.shape != (len(faces), len(EMOTIONS)):
            raise UnsoundError(f"its logits of {len(faces)} faces have the shape {logits.shape}")
        return logits

    def logits(self, images: np.ndarray, *, tta: str | None = None) -> np.ndarray:
        """As ``Evaluator.logits``: float32 (N,7) of faces uint8 (N,48,48)."""
        return averaged_logits(self._in_parts, images, tta)

    def _in_parts(self, images: np.ndarray) -> np.ndarray:
        parts = np.split(images, range(AT_ONCE, len(images), AT_ONCE))
        return np.concatenate([self.forward(as_input(part, self.face_size)) for part in parts])


def as_input(images: np.ndarray, face_size: int) -> np.ndarray:
    """Faces uint8 (N,H,W) -> what an exported file takes, float32 (N,1,S,S)."""
    return resize(images, face_size)[:, None].astype(np.float32)
