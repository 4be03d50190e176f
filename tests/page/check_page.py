"""The live page in Chromium: it answers as `predict` does, to everybody, and asks nobody."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from ferspore.labels import EMOTIONS
from ferspore.use.faces import Square, cut_face
from tests.page import browser
from tests.page.conftest import photographs

PHOTOS = list(photographs())
expect.set_options(timeout=30_000)  # the machine may do other work


# --- as predict -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules(chromium, url):
    """A page whose own modules answer the tests' questions."""
    with browser.opened(chromium, url) as page:
        page.evaluate(browser.LOAD)
        yield page


@pytest.mark.parametrize("name", PHOTOS)
def test_faces_and_probabilities_are_those_of_predict(name, modules, photos, predicted):
    found = modules.evaluate("faces", browser.in_base64(photos[name]))
    assert len(found) == len(predicted[name]) == {"two": 2, "cat": 0}.get(name, 1)
    for face, expected in zip(found, predicted[name], strict=True):
        for key in ("left", "top", "side"):
            assert abs(face["square"][key] - expected[key]) <= 1
        assert face["square"]["angle"] == pytest.approx(expected["angle"], abs=0.11)
        own = [expected["probabilities"][emotion] for emotion in EMOTIONS]
        np.testing.assert_allclose(face["probabilities"], own, atol=1e-3)


def test_a_turned_face_was_among_them(predicted):
    assert abs(predicted["turned"][0]["angle"]) > 20


def test_threads_change_nothing(chromium, url, photos, predicted):
    with browser.opened(chromium, url, cores=4) as page:
        page.evaluate(browser.LOAD)
        assert len(page.workers) > 0
        (face,) = page.evaluate("faces", browser.in_base64(photos["astronaut"]))
        own = list(predicted["astronaut"][0]["probabilities"].values())
        np.testing.assert_allclose(face["probabilities"], own, atol=1e-3)


CUT = """async ([text, squares]) => {
  const { cutFace } = await import("/faces.js");
  const image = await picture(text);
  return squares.map((square) => [...cutFace(image, square, 48).data]);
}"""


@pytest.mark.parametrize("angle", [0.0, 33.3, -147.9])
def test_a_cut_out_is_that_of_predict(angle, modules, photos):
    rng = np.random.default_rng(2)
    squares = [Square(5, 60, 48, angle), Square(0, 0, 512, angle), Square(100, 90, 1, angle)]
    for side in rng.integers(1, 400, 12).tolist():
        left, top = rng.integers(0, 512 - side, 2).tolist()
        squares.append(Square(left, top, side, angle))
    given = [browser.in_base64(photos["astronaut"]), [vars(square) for square in squares]]
    cut = modules.evaluate(CUT, given)
    picture = Image.open(photos["astronaut"]).convert("RGB")
    for own, square in zip(np.array(cut), squares, strict=True):
        expected = cut_face(picture, square).reshape(-1).astype(int)
        # Turned ones by cosines, whose last bit may differ.
        assert np.abs(own - expected).max() <= (1 if angle else 0)


def test_a_photograph_is_turned_as_its_exif_data_say(modules, photos, predicted, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is at the right
    turned = Image.open(photos["astronaut"]).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "exif.jpg", quality=97, exif=exif)
    (face,) = modules.evaluate("faces", browser.in_base64(tmp_path / "exif.jpg"))
    assert abs(face["square"]["left"] - predicted["astronaut"][0]["left"]) <= 3


# --- what is shown --------------------------------------------------------------------------------


def test_an_image_is_framed_and_judged(page, photos, predicted):
    page.set_input_files("#file", photos["two"])
    expect(page.locator("#faces li")).to_have_count(2)
    for card, face in zip(page.locator("#faces li").all(), predicted["two"], strict=True):
        numbers = [float(text) for text in card.locator("td:last-child").all_inner_texts()]
        np.testing.assert_allclose(numbers, list(face["probabilities"].values()), atol=0.006)
    expect(page.locator("#summary")).to_have_text(re.compile("^2 faces, from left: happy"))
    expect(page.locator("#status")).to_have_text("two.png")
    expect(page.locator("#past")).to_be_hidden()
    assert has_colour(page, predicted["two"][0])


def has_colour(page, face) -> bool:
    """Whether the frame of a face is drawn where the face is, in the colour of happiness."""
    return page.evaluate(
        """({left, top, side}) => {
          const canvas = document.getElementById("picture");
          const zoom = canvas.width / 900;
          const at = [left, top + side / 2].map((n) => Math.round(n * zoom));
          const {data} = canvas.getContext("2d").getImageData(at[0] - 2, at[1], 5, 1);
          return Array.from({length: 5}, (_, i) => [...data.slice(4 * i, 4 * i + 3)].join())
            .includes("230,159,0");
        }""",
        face,
    )


def test_no_face_is_said(page, photos):
    page.set_input_files("#file", photos["cat"])
    expect(page.locator("#summary")).to_have_text("No face found.")
    expect(page.locator("#faces li")).to_have_count(0)


def test_uncertain_faces_are_called_uncertain(chromium, url, photos):
    with browser.opened(chromium, url) as page:
        page.route("**/model.json", certain)
        page.reload()
        page.wait_for_selector("#camera:enabled")
        page.set_input_files("#file", photos["astronaut"])
        expect(page.locator("#summary")).to_have_text(re.compile("uncertain, perhaps happy 0.9"))


def certain(route) -> None:
    """The page's knowledge, with another bound below which a face is uncertain."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "uncertain": 0.999})


@pytest.mark.parametrize("name", ["notes.txt", "notes.png", "notes.webm"])
def test_a_file_that_is_no_picture_is_named(name, page, tmp_path):
    (tmp_path / name).write_text("no picture")
    page.set_input_files("#file", tmp_path / name)
    expect(page.locator("#status.trouble")).to_have_text(
        f"{name}: not an image or a video that this browser can read."
    )


def test_an_image_may_be_dropped(page, photos):
    dropped = page.evaluate_handle(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
          return transfer;
        }""",
        browser.in_base64(photos["astronaut"]),
    )
    page.dispatch_event("#stage", "drop", {"dataTransfer": dropped})
    expect(page.locator("#summary")).to_have_text(re.compile("^One face: happy"))


def test_what_is_dropped_too_early_does_not_replace_the_page(chromium, url):
    page = chromium.new_page()
    page.route("**/model.onnx", lambda route: None)  # it never comes
    page.goto(url)
    page.wait_for_selector("#model dd")
    kept = "() => !document.dispatchEvent(new DragEvent('drop', {cancelable: true}))"
    assert page.evaluate(kept)
    page.close()


def test_a_video_plays_and_pauses(page, video):
    page.set_input_files("#file", video)
    expect(page.locator("#summary")).to_have_text(re.compile("^One face: happy"))
    expect(page.locator("#past")).to_be_visible()
    pause = page.locator("#pause")
    expect(pause).to_have_text("Play")  # it has ended
    assert page.evaluate(
        """() => {
          const canvas = document.getElementById("timeline");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.some((part) => part !== 0);
        }"""
    )
    pause.press("Enter")
    expect(pause).to_have_text("Pause")


# --- the camera -----------------------------------------------------------------------------------


def test_the_camera_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    assert focused(page) == "camera"
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("The camera is on.")
    expect(page.locator("#summary")).to_have_text(re.compile("^One face: happy 0"))
    expect(page.locator("#speed")).to_have_text(re.compile(r"^\d+\.\d frames a second$"))
    expect(page.locator("#timeline")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.locator("#status")).to_have_text("The camera is off.")
    expect(page.locator("#camera")).to_have_text("Start camera")
    page.keyboard.press("Tab")
    assert focused(page) == "file"


def focused(page) -> str:
    """The id of what has the focus, which must be seen to have it."""
    return page.evaluate(
        """() => {
          const own = document.activeElement;
          const seen = own.closest("label") ?? own;
          return getComputedStyle(seen).outlineStyle === "solid" ? own.id : "unseen " + own.id;
        }"""
    )


def test_another_source_turns_the_camera_off(page, photos):
    page.click("#camera")
    expect(page.locator("#camera")).to_have_text("Stop camera")
    page.set_input_files("#file", photos["cat"])
    expect(page.locator("#camera")).to_have_text("Start camera")
    expect(page.locator("#summary")).to_have_text("No face found.")


# Keeps what the camera gives, so that a test can ask whether it is on.
KEPT = """() => {
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    window.track = stream.getTracks()[0];
    return stream;
  };
}"""


def test_the_camera_is_off_when_the_page_says_so(page):
    page.evaluate(KEPT)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("The camera is on.")
    told = """() => {
      document.getElementById("camera").click();
      return [document.getElementById("status").textContent, window.track.readyState];
    }"""
    assert page.evaluate(told) == ["The camera is off.", "ended"]


def test_a_camera_that_does_not_play_is_let_go(page):
    page.evaluate(KEPT)
    page.evaluate(
        """() => {
          HTMLMediaElement.prototype.play = async () => { throw new DOMException("no frame"); };
        }"""
    )
    page.click("#camera")
    expect(page.locator("#status.trouble")).to_have_text(re.compile("cannot be used: no frame"))
    assert page.evaluate("window.track.readyState") == "ended"


def test_without_a_camera_the_image_is_offered(playwright, url):
    with browser.launch(playwright) as bare, browser.opened(bare, url) as page:
        told = "There is no camera here. Choose or drop an image or a video instead."
        expect(page.locator("#status")).to_have_text(told)
        page.click("#camera")
        expect(page.locator("#status.trouble")).to_have_text(told)


def test_a_refused_permission_is_explained(playwright, url, camera_film):
    fake = browser.fake_camera(camera_film)
    with browser.launch(playwright, *fake) as strict, browser.opened(strict, url) as page:
        expect(page.locator("#status")).to_have_text("Ready.")
        page.click("#camera")
        expect(page.locator("#status.trouble")).to_have_text(re.compile("not allowed .* image"))


# --- looks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_legible(chromium, url, photos, width, scheme):
    size = {"width": width, "height": 800}
    with browser.opened(chromium, url, viewport=size, color_scheme=scheme) as page:
        page.set_input_files("#file", photos["two"])
        expect(page.locator("#faces li")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = (
            np.array(re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{name}")))
            for name in ("color", "backgroundColor")
        )
        difference = paper.astype(int).mean() - ink.astype(int).mean()
        assert difference > 150 if scheme == "light" else difference < -150


def test_little_motion_where_it_is_asked_for(chromium, url, photos):
    with browser.opened(chromium, url, reduced_motion="reduce") as page:
        page.set_input_files("#file", photos["astronaut"])
        bar = page.locator(".bar").first
        expect(bar).to_have_css("transition-duration", "0s")


# --- the network ----------------------------------------------------------------------------------


def test_the_page_cannot_send_anything_elsewhere(chromium, url):
    foreign = """async () => {
      const refused = new Promise((resolve) =>
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI)));
      await fetch("https://elsewhere.example/face").catch(() => {});
      return Promise.race([refused, new Promise((resolve) => setTimeout(resolve, 9000, "none"))]);
    }"""
    page = chromium.new_page()
    page.goto(url)
    assert page.evaluate(foreign) == "https://elsewhere.example/face"
    page.close()
