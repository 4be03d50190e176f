"""The readers of videos and of ONNX files, whose packages may not be installed."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np

from ferspore.run.ckpt import UnsoundError, serialize
from tests.fuzz import mutation
from tests.fuzz.bounds import check_text
from tests.fuzz.target import Target, placed

FRAMES = 5  # of a video that are read


def read_video(content: bytes, folder: Path) -> None:
    from ferspore.use.video import Clip, VideoError

    for name in ("x.mp4", "x.avi"):
        try:
            with Clip(placed(folder, name, content)) as clip:
                for _, picture in zip(range(FRAMES), (frame for _, frame in clip), strict=False):
                    picture.load()
        except VideoError as error:
            check_text(str(error))


def video_seeds() -> list[bytes]:
    import cv2

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, codec in (("x.avi", "MJPG"), ("x.mp4", "mp4v")):
            path = Path(folder, name)
            film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 5.0, (32, 24))
            for shade in range(0, 100, 20):
                film.write(np.full((24, 32, 3), shade, np.uint8))
            film.release()
            found.append(path.read_bytes())
    return found


def read_onnx(content: bytes, folder: Path) -> None:
    from ferspore.export.onnx_model import OnnxModel

    model = OnnxModel(placed(folder, "x.onnx", content), threads=1)
    model.logits(np.zeros((1, 48, 48), np.uint8))


def onnx_seeds() -> list[bytes]:
    """The export of a net that is as small as they come."""
    from ferspore import runtime
    from ferspore.export.onnx import export_onnx
    from ferspore.network.resnet import Architecture, build_network

    runtime.select_device("CPU")
    network = build_network(Architecture("3x3", (4,), (1,), squeeze_excite=False), seed=1)
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "small.ckpt")
        path.write_bytes(serialize(weights, {"face_size": 16}))
        return [export_onnx(path, Path(folder, "small.onnx")).path.read_bytes()]


def in_onnx(content: bytes, rng: Random, change: mutation.Change) -> bytes:
    """A field of the model, under a digest that is right."""
    from ferspore.export.onnx_file import parse, seal

    try:
        model = parse(content)
        part = rng.choice((model.graph.node, model.graph.initializer, model.graph.output))
        chosen = rng.choice(part)
        changed = type(chosen)()
        changed.ParseFromString(change(chosen.SerializeToString()))
        chosen.CopyFrom(changed)
        texts = {text.key: text.value for text in model.metadata_props if text.key != "digest"}
        return seal(model, texts)
    except Exception:
        return change(content)


MEDIA: dict[str, Target] = {}
if find_spec("ferspore.use.video"):
    MEDIA["video"] = Target(read_video, (), video_seeds)
if find_spec("ferspore.export") and find_spec("onnxruntime"):
    MEDIA["onnx"] = Target(read_onnx, (UnsoundError,), onnx_seeds, in_onnx)
