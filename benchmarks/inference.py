"""Faces a second of a checkpoint by MindSpore, and of its exports by ONNX Runtime, one thread each.

    python benchmarks/inference.py [--ckpt best_model.ckpt] [--csv fer2013.csv] [--n 7] [--json OUT]

With a CSV also of the net in 8 bits, which is calibrated on its Training. The programs take turns,
so that other work on the machine slows all of them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import parse_measurements, prepare, random_faces, spread, write_record

from ferspore.data.csv import load_csv
from ferspore.run.model_of import SHIPPED, model_of

BATCHES = (1, 128)
FACES = 512  # of a measurement

Forward = Callable[[np.ndarray], object]  # float32 (N,1,S,S)


def programs(ckpt: Path, csv: str | None, folder: Path) -> tuple[dict[str, Forward], int]:
    """What runs the net, by its name, and the side of its faces; sizes are printed."""
    from mindspore import Tensor

    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.export.int8 import export_int8
    from ferspore.export.onnx import export_onnx
    from ferspore.export.onnx_model import OnnxModel

    evaluator, _ = load_evaluator(ckpt)
    network = evaluator.network
    found: dict[str, Forward] = {"MindSpore": lambda faces: network(Tensor(faces)).asnumpy()}
    exports = {"ONNX Runtime": export_onnx(ckpt, folder / "float.onnx")}
    if csv:
        table = load_csv(csv, ("Training", "PublicTest"))
        exports["ONNX Runtime, int8"] = export_int8(ckpt, folder / "int8.onnx", table).exported
    print(f"{'checkpoint':20} {ckpt.stat().st_size:>9,} bytes")
    for name, exported in exports.items():
        found[name] = OnnxModel(exported.path, threads=1).forward
        print(f"{name:20} {exported.bytes:>9,} bytes")
    return found, evaluator.face_size


def measure(
    found: dict[str, Forward], faces: np.ndarray, batch: int, n: int
) -> dict[str, list[float]]:
    """Faces a second, n times each in turn; the first turn, which compiles, is left out."""
    speeds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(n + 1):
        for name, forward in found.items():
            start = time.perf_counter()
            for first in range(0, len(faces), batch):
                forward(faces[first : first + batch])
            speeds[name].append(len(faces) / (time.perf_counter() - start))
    return {name: values[1:] for name, values in speeds.items()}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckpt", type=Path, default=SHIPPED, help="default: the shipped model")
    parser.add_argument("--csv", help="the FER2013 CSV, for int8")
    return parse_measurements(parser)


def main() -> int:
    arguments = parse_arguments()
    os.sched_setaffinity(
        0, sorted(os.sched_getaffinity(0))[:1]
    )  # before MindSpore counts the cores
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        found, size = programs(model_of(arguments.ckpt), arguments.csv, Path(folder))
        images = random_faces(FACES).splits["Training"].images[:, None, :size, :size]
        faces = np.ascontiguousarray(images, np.float32)
        record = {}
        print(f"faces a second on one core, n={arguments.n}, median (min-max)")
        for batch in BATCHES:
            speeds = measure(found, faces, batch, arguments.n)
            record[f"batch {batch}"] = {name: spread(of, 1) for name, of in speeds.items()}
            for name, of in record[f"batch {batch}"].items():
                print(
                    f"batch {batch:>3}  {name:20} {of['median']:7.0f} "
                    f"({of['min']:.0f}-{of['max']:.0f})"
                )
    if arguments.json:
        write_record(arguments.json, {"n": arguments.n, "faces_per_second": record})
    return 0


if __name__ == "__main__":
    sys.exit(main())
