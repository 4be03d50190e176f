"""The files of the page: its own, onnxruntime-web's, the two networks, and what it knows of them.

onnxruntime-web is not in the repository (its WebAssembly has 14 MB): npm installs the version that
package-lock.json pins, file by file with its hash, beside this module.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferspore.demo.server import File
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.pictures.style import EMOTION_COLOURS
from ferspore.use import blazeface
from ferspore.use.prediction import UNCERTAIN

HOME = Path(__file__).parent
ONNX_RUNTIME = HOME / "node_modules/onnxruntime-web/dist"
ONNX_RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
INSTALL = f"npm ci --ignore-scripts --prefix {HOME}"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
# Of use/blazeface.py, for page/detector.js.
DETECTOR_NUMBERS = (
    "STRIDE", "MULTIPLE", "LEVELS", "MOVING_LEVELS", "COARSE_SCORE", "FINE_SCORE",
    "SAME", "ALIKE", "SIDE", "UP", "UPRIGHT", "SMALLEST_FACE",
    "CENTRE", "SIZE", "RIGHT_EYE", "LEFT_EYE", "MOUTH",
)  # fmt: skip


class MissingRuntimeError(RuntimeError):
    """onnxruntime-web is not installed; the message says how to get it."""


def require_runtime() -> None:
    """
    Raises:
        MissingRuntimeError: see there.
    """
    if not all((ONNX_RUNTIME / name).is_file() for name in ONNX_RUNTIME_FILES):
        raise MissingRuntimeError(
            f"the page needs onnxruntime-web, which npm installs (Debian: apt-get install npm), "
            f"once: {INSTALL}"
        )


def site(model: bytes, name: str, metadata: Mapping[str, str]) -> dict[str, File]:
    """The files by their paths. model: the exported ONNX file, metadata: its texts; name: what the
    page calls the model.

    Raises:
        OSError: a file cannot be read.
    """
    own = [path for path in (HOME / "page").iterdir() if path.suffix in KINDS]
    paths = [*own, *(ONNX_RUNTIME / name for name in ONNX_RUNTIME_FILES)]
    files = {f"/{path.name}": File(KINDS[path.suffix], path.read_bytes()) for path in paths}
    files["/"] = files.pop("/index.html")
    files["/model.onnx"] = File("application/octet-stream", model)
    files["/detector.onnx"] = File("application/octet-stream", blazeface.MODEL.read_bytes())
    told = json.dumps(description(name, metadata))
    files["/model.json"] = File("application/json", told.encode())
    return files


def description(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the page knows of the model and of the detector, whose numbers have one place each."""
    accuracy = "not recorded"
    if "accuracy" in metadata:
        split = metadata.get("usage", "an unknown split")
        accuracy = f"{float(metadata['accuracy']):.4f} on {split}"
    return {
        "name": name,
        "accuracy": accuracy,
        "sha256": metadata["checkpoint_sha256"],
        "emotions": [{"name": name, "colour": EMOTION_COLOURS[name]} for name in EMOTIONS],
        "uncertain": UNCERTAIN,
        "cut_size": FACE_SIZE,
        "seen_size": int(metadata["face_size"]),
        "detector": {name.lower(): getattr(blazeface, name) for name in DETECTOR_NUMBERS},
    }
