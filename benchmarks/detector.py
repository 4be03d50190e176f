"""The face detectors beside each other, and FER2013's frame around what BlazeFace finds.

    python benchmarks/detector.py fer2013.csv [--faces 300] [--picture faces.png]

Needs scikit-image and scikit-learn for their photographs (requirements-dev.txt). Prints what each
detector finds in them; the share of FER2013's Training faces, each as a picture of its own, in
which it finds one; and, of those that BlazeFace finds, the medians from which the constants of
`use/blazeface.py` are taken. --picture draws what the model was trained on and what it gets.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ferspore.data.csv import load_csv
from ferspore.labels import DETECTORS
from ferspore.pictures.style import MARGIN, WIDTH, new_figure, save, styled
from ferspore.use.blazeface import (
    CENTRE,
    COARSE_SCORE,
    LEFT_EYE,
    LEVELS,
    MOUTH,
    RIGHT_EYE,
    SIZE,
    BlazeFace,
    merged,
)
from ferspore.use.detection import face_detector
from ferspore.use.faces import cut_face

PHOTOGRAPHS = {
    "matplotlib": ["mpl-data/sample_data/grace_hopper.jpg"],
    "skimage": [
        f"data/{name}"
        for name in (
            "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg",
            "motorcycle_left.png", "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
            "ihc.png", "moon.png", "page.png", "retina.jpg", "cell.png",
        )
    ],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}  # fmt: skip


def photographs() -> list[Path]:
    """Those of the packages, by path: the packages themselves are not imported."""
    found = []
    for package, names in PHOTOGRAPHS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"benchmarks/detector.py needs the photographs of {package}")
        found += [Path(spec.origin).parent / name for name in names]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", help="a FER2013 file")
    parser.add_argument("--faces", type=int, default=300, help="of Training")
    parser.add_argument("--picture", type=Path, help="a PNG to draw")
    arguments = parser.parse_args()
    faces = load_csv(Path(arguments.csv), ("Training",)).splits["Training"].images
    chosen = faces[np.random.default_rng(0).permutation(len(faces))[: arguments.faces]]
    for name in DETECTORS:
        detector = face_detector(name)
        started, found = time.process_time(), {}
        for path in photographs():
            found[path.name] = detector.find(Image.open(path).convert("RGB"))
        seconds = (time.process_time() - started) / len(found)
        print(f"{name}: {seconds:.2f} CPU seconds a photograph")
        for photo, squares in found.items():
            print(f"  {photo}: {len(squares)}", *(str(square) for square in squares))
        alone = [bool(detector.find(Image.fromarray(face).convert("RGB"))) for face in chosen]
        print(f"  found in {np.mean(alone):.3f} of {len(chosen)} faces of FER2013", flush=True)
    print_frame(chosen)
    if arguments.picture:
        save(crops(chosen[100:]), arguments.picture)


def print_frame(faces: np.ndarray) -> None:
    """Medians of BlazeFace's box in FER2013's frame, and the 95th percentile of the angle."""
    detector, rows = BlazeFace(), []
    for face in faces:
        found = detector._look(Image.fromarray(face).convert("RGB"), LEVELS[0], COARSE_SCORE)
        points = merged(found).points
        if len(points) == 1:
            own = points[0] / len(face)
            right, down = own[MOUTH] - (own[RIGHT_EYE] + own[LEFT_EYE]) / 2
            angle = np.degrees(np.arctan2(-right, down))
            eyes = np.hypot(*(own[LEFT_EYE] - own[RIGHT_EYE]))
            rows.append([*own[CENTRE], own[SIZE].mean(), angle, eyes])
    x, y, side, angle, eyes = np.array(rows).T
    print(f"n={len(rows)}: centre {np.median(x):.3f} {np.median(y):.3f}, of the frame's side")
    print(f"  frame / box {1 / np.median(side):.3f}; distance of the eyes {np.median(eyes):.3f}")
    print(f"  centre below the frame's {np.median(y) - 0.5:.3f}")
    print(f"  95% of the angles are below {np.percentile(abs(angle), 95):.1f} degrees")


@styled
def crops(faces: np.ndarray) -> Figure:
    """FER2013's faces in the first row; below, faces found in photographs, some of them turned."""
    turns = {"grace_hopper.jpg": (0, 45, -60), "astronaut.png": (0, -30, 60), "camera.png": (0,)}
    detector, cut = face_detector("blazeface"), []
    for path in photographs():
        for angle in turns.get(path.name, ()):
            photo = Image.open(path).convert("RGB")
            photo = photo.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
            cut += [cut_face(photo, square) for square in detector.find(photo)]
    figure = new_figure(WIDTH, 175, "What the model was trained on, and what it gets")
    rows = {"FER2013": faces[: len(cut)], "predict": cut}
    for row, (name, own) in enumerate(rows.items()):
        for column, face in enumerate(own):
            axes = figure.add_axes((0.135 + 0.121 * column, 0.41 - 0.37 * row, 0.117, 0.35))
            axes.imshow(face, cmap="gray", vmin=0, vmax=255)
            axes.axis("off")
        figure.text(MARGIN / WIDTH, 0.585 - 0.37 * row, name, va="center")
    return figure


if __name__ == "__main__":
    main()
