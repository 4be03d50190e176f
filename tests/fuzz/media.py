"""The readers of videos and of ONNX files, whose packages may not be installed."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np

from ferspore.run.ckpt import UnsoundError
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
    from ferspore.export.onnx_file import checked, parse, read_bounded

    checked(parse(read_bounded(placed(folder, "x.onnx", content))))


def onnx_seeds() -> list[bytes]:
    """One multiplication, sealed as an export."""
    from ferspore.export.onnx_file import seal
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 7]) for name in "xy"]
    factor = helper.make_tensor("w", TensorProto.FLOAT, [1, 7], [0.5] * 7)
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [factor])
    metadata = {"ferspore_version": "0", "face_size": "48", "labels": "[]"}
    return [seal(helper.make_model(graph), metadata)]


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
if find_spec("ferspore.export") and find_spec("onnx"):
    MEDIA["onnx"] = Target(read_onnx, (UnsoundError,), onnx_seeds, in_onnx)
