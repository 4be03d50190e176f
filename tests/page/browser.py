"""`ferspore demo` and a Chromium that looks at it."""

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright

from tests.runs import ROOT

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
PERMITTED = "--use-fake-ui-for-media-stream"  # says yes where the user would be asked
PATIENCE = 120_000  # milliseconds until a page is ready: the machine may do other work

# The page's own modules, used as main.js uses them.
LOAD = """async () => {
  const { readImage } = await import("/camera.js");
  const { loadAnalysis } = await import("/analysis.js");
  window.analyse = await loadAnalysis(await (await fetch("/model.json")).json());
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  window.picture = (text) => readImage(new Blob([bytes(text)]));
  window.faces = async (text) => analyse(await picture(text), false);
}"""


@contextmanager
def demo() -> Iterator[str]:
    """The address at which the shipped model's page is served; Ctrl-C ends it."""
    command = [sys.executable, str(ROOT / "tools/demo.py"), "--no_browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            yield next(line for line in lines if line.startswith("http")).split()[0]
        finally:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[0]
        assert (process.returncode, said) == (0, "stopped (Ctrl-C)\n")


def fake_camera(file: Path) -> tuple[str, ...]:
    """Flags for a camera that plays the frames of an .mjpeg file again and again."""
    return "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={file}"


def launch(playwright: Playwright, *flags: str) -> Browser:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags])


@contextmanager
def opened(browser: Browser, url: str, *, cores: int = 1, **settings) -> Iterator[Page]:
    """The page, ready for use, on a machine with so many cores. At the end it must have complained
    of nothing, and asked nobody but its server."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    count = f"Object.defineProperty(navigator, 'hardwareConcurrency', {{get: () => {cores}}})"
    page.add_init_script(count)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    context.on("request", lambda request: asked.append(request.url.removeprefix("blob:")))
    try:
        page.goto(url)
        page.wait_for_selector("#camera:enabled")
        yield page
        assert not complaints, complaints
        assert asked and all(one.startswith(url) for one in asked), asked
    finally:
        context.close()


def in_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
