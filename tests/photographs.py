"""Photographs that come inside packages; the packages themselves are not imported."""

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PLACES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "profile": ("skimage", "data/camera.png"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "admiral": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


def photograph(name: str) -> Image.Image:
    package, path = PLACES[name]
    spec = find_spec(package)
    assert spec and spec.origin, f"{package} is missing: see requirements-dev.txt"
    return Image.open(Path(spec.origin).parent / path).convert("RGB")
