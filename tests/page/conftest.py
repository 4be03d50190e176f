"""Photographs, what `predict` makes of them, and the page in three browsers."""

import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.page import browser
from tests.photographs import photograph
from tests.runs import ROOT


def photographs() -> dict[str, Image.Image]:
    """A few, and what can be made of them."""
    astronaut = photograph("astronaut")
    two = Image.new("RGB", (900, 420), "grey")
    two.paste(astronaut.resize((400, 400)), (10, 10))
    two.paste(astronaut.resize((250, 250)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), (600, 90))
    tall = Image.new("RGB", (300, 1100), "white")
    tall.paste(astronaut.resize((280, 280)), (10, 700))
    see_through = astronaut.convert("RGBA")
    see_through.paste((9, 9, 9, 0), (300, 0, 512, 512))
    return {
        "astronaut": astronaut,
        "grey": photograph("profile").convert("L"),
        "turned": astronaut.rotate(45, expand=True),
        "two": two,
        "tall": tall,
        "see_through": see_through,
        "large": astronaut.resize((1700, 1700), Image.Resampling.BICUBIC),
        "cat": photograph("cat"),
    }


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> dict[str, Path]:
    """PNG files by their names: browsers decode them as Pillow does, unlike JPEG."""
    folder = tmp_path_factory.mktemp("photos")
    paths = {name: folder / f"{name}.png" for name in photographs()}
    for name, photo in photographs().items():
        photo.save(paths[name])
    return paths


@pytest.fixture(scope="session")
def predicted(photos, tmp_path_factory) -> dict[str, list[dict]]:
    """The faces that `ferspore predict` finds in each photograph."""
    out = tmp_path_factory.mktemp("predicted") / "out.json"
    command = [sys.executable, ROOT / "tools/predict.py", *photos.values(), "--json", out]
    subprocess.run(command, check=True, capture_output=True)
    images = json.loads(out.read_text())["images"]
    return {Path(image["image"]).stem: image["faces"] for image in images}


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    """Two seconds of the astronaut, 12 frames a second, moving a little."""
    path = tmp_path_factory.mktemp("video") / "clip.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 12, (512, 512))
    for step in range(24):
        writer.write(np.roll(np.asarray(photograph("astronaut"))[..., ::-1], step, axis=1))
    writer.release()
    return path


@pytest.fixture(scope="session")
def camera_film(tmp_path_factory) -> Path:
    film = io.BytesIO()
    photograph("astronaut").crop((16, 64, 496, 424)).save(film, "JPEG", quality=95)
    path = tmp_path_factory.mktemp("camera") / "astronaut.mjpeg"
    path.write_bytes(film.getvalue() * 2)
    return path


@pytest.fixture(scope="session")
def url():
    with browser.demo() as url:
        yield url


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright, camera_film):
    """With a camera that plays a film, and the permission to use it."""
    with browser.launch(playwright, browser.PERMITTED, *browser.fake_camera(camera_film)) as one:
        yield one


@pytest.fixture
def page(chromium, url):
    with browser.opened(chromium, url) as page:
        yield page
