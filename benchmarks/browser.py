"""The shipped model in a browser: does it answer as the checkpoint, and how fast, on one thread.

    python benchmarks/browser.py --csv fer2013.csv [--n 7]

Needs what `make test-page` installs. Prints the accuracy on PublicTest and the largest difference
of a logit there and on 256 fixed faces; faces a second, with ONNX Runtime in Python taking turns;
the processor's time for a camera's frame of 640x480 with one face in it.
"""

import argparse
import base64
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import prepare, spread

from ferspore.data.csv import load_csv
from ferspore.evaluation.probes import probes
from ferspore.run.model_of import SHIPPED, model_of

BATCHES = (1, 128)
FACES = 512  # of a measurement
FRAMES = 5

# Faces as base64 of their bytes -> logits and seconds.
JUDGE = """async ([text, batch]) => {
  const { loadNetwork } = await import("/network.js");
  window.network ??= await loadNetwork("/model.onnx");
  const faces = Float32Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const [area, logits, start] = [48 * 48, [], performance.now()];
  for (let first = 0; first < faces.length; first += batch * area) {
    const part = faces.subarray(first, first + batch * area);
    logits.push(...(await network(part, [part.length / area, 1, 48, 48])).logits);
  }
  return [logits, (performance.now() - start) / 1000];
}"""
LOOK = """async ([text, count]) => {
  window.frame ??= await picture(text);
  for (let i = 0; i < count; i++) await analyse(frame, true);
}"""


def judged(page, faces: np.ndarray, batch: int) -> tuple[np.ndarray, float]:
    """Logits (N,7) of faces uint8 (N,48,48), and seconds, by the page's network."""
    logits, seconds = page.evaluate(JUDGE, [base64.b64encode(faces.tobytes()).decode(), batch])
    return np.reshape(logits, (-1, 7)), seconds


def compare(page, evaluator, csv: str) -> None:
    faces = load_csv(Path(csv), ("PublicTest",)).splits["PublicTest"]
    found, _ = judged(page, faces.images, 128)
    accuracy = np.mean(found.argmax(1) == faces.labels)
    print(f"accuracy on PublicTest {accuracy:.4f}, {len(found)} faces")
    for name, images, own in (
        ("PublicTest", faces.images, found),
        ("256 fixed faces", probes(), judged(page, probes(), 128)[0]),
    ):
        apart = np.abs(own - evaluator.logits(images)).max()
        print(f"largest difference of a logit, {name}: {apart:.1e}")


def measure(page, model, n: int) -> None:
    """The first turn, which compiles, is left out."""
    faces = np.random.default_rng(0).integers(0, 256, (FACES, 48, 48), np.uint8)
    for batch in BATCHES:
        speeds: dict[str, list[float]] = {"browser": [], "ONNX Runtime": []}
        for _ in range(n + 1):
            speeds["browser"].append(FACES / judged(page, faces, batch)[1])
            start = time.perf_counter()
            for first in range(0, FACES, batch):
                model.forward(faces[first : first + batch, None].astype(np.float32))
            speeds["ONNX Runtime"].append(FACES / (time.perf_counter() - start))
        for name, values in speeds.items():
            print(f"batch {batch:>3}  {name:13} {spread(values[1:], 0)} faces a second")


def measure_frames(page, n: int) -> None:
    from tests.photographs import photograph

    file = io.BytesIO()
    photograph("astronaut").resize((640, 640)).crop((0, 40, 640, 520)).save(file, "PNG")
    given = [base64.b64encode(file.getvalue()).decode(), FRAMES]
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    times = []
    for _ in range(n + 2):
        page.evaluate(LOOK, given)
        metrics = session.send("Performance.getMetrics")["metrics"]
        times.append(next(one["value"] for one in metrics if one["name"] == "ThreadTime"))
    each = np.diff(times)[1:] / FRAMES
    print(f"640x480, one face: {spread(each, 3)} seconds of a processor a frame")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", required=True, help="the FER2013 CSV")
    parser.add_argument("--n", type=int, default=7, help="measurements of each")
    arguments = parser.parse_args()
    prepare()
    sys.path.append(str(Path(__file__).parents[1]))
    from playwright.sync_api import sync_playwright
    from tests.page import browser

    from ferspore.evaluation.evaluator import load_evaluator
    from ferspore.export.onnx import export_onnx
    from ferspore.export.onnx_model import OnnxModel

    ckpt = model_of(SHIPPED)
    with tempfile.TemporaryDirectory() as folder:
        model = OnnxModel(export_onnx(ckpt, Path(folder, "model.onnx")).path, threads=1)
    with (
        browser.demo() as url,
        sync_playwright() as playwright,
        browser.launch(playwright) as chromium,
        browser.opened(chromium, url) as page,
    ):
        page.evaluate(browser.LOAD)
        compare(page, load_evaluator(ckpt)[0], arguments.csv)
        measure(page, model, arguments.n)
        measure_frames(page, arguments.n)
    return 0


if __name__ == "__main__":
    sys.exit(main())
