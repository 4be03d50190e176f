"""What the page needs is served, and nothing of it comes from elsewhere."""

import json
import re
import signal
import urllib.request

import pytest

from ferspore.cli import demo
from ferspore.cli.common import ToolError
from ferspore.demo import site
from ferspore.demo.server import File, PageServer
from ferspore.labels import EMOTIONS
from ferspore.runtime import StopSignals

METADATA = {
    "accuracy": "0.63862",
    "usage": "PublicTest",
    "face_size": "40",
    "checkpoint_sha256": "5" * 64,
}


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A folder that stands for onnxruntime-web, which the suite does without."""
    for name in site.ONNX_RUNTIME_FILES:
        (tmp_path / name).write_bytes(b"runtime")
    monkeypatch.setattr(site, "ONNX_RUNTIME", tmp_path)
    return tmp_path


def test_everything_that_the_page_names_is_served(runtime):
    files = site.site(b"model", "X", METADATA)
    assert files["/model.onnx"].content == b"model"
    assert files["/ort-wasm-simd-threaded.wasm"].kind == "application/wasm"
    named = set()
    for file in files.values():
        if file.kind.startswith(("text/html", "text/javascript")) and file.content != b"runtime":
            named |= set(
                re.findall(
                    r'(?:src|href|from|Network|fetch)[=(\s]"\.?/?([^"]+)"', file.content.decode()
                )
            )
    assert {"main.js", "style.css", "icon.svg", "detector.onnx", "model.json"} <= named
    assert {f"/{name}" for name in named} | {"/", "/ort-wasm-simd-threaded.wasm"} == files.keys()


def test_no_file_names_another_host(runtime):
    for path in (site.HOME / "page").iterdir():
        foreign = re.findall(r"(?:https?:)?//[\w.-]+\.\w+\S*", path.read_text())
        assert foreign in ([], ['http://www.w3.org/2000/svg"']), path


def test_the_lock_pins_hashes_and_no_registry():
    lock = json.loads((site.HOME / "package-lock.json").read_text())["packages"]
    assert "node_modules/onnxruntime-web" in lock
    for name, package in lock.items():
        assert "resolved" not in package
        assert package.get("integrity", "").startswith("sha512-") or not name


def test_what_the_page_is_told(runtime):
    told = json.loads(site.site(b"model", "a/best.ckpt", METADATA)["/model.json"].content)
    assert (told["name"], told["sha256"]) == ("a/best.ckpt", "5" * 64)
    assert told["accuracy"] == "0.6386 on PublicTest"
    assert (told["cut_size"], told["seen_size"]) == (48, 40)
    assert [emotion["name"] for emotion in told["emotions"]] == list(EMOTIONS)


def test_an_accuracy_that_nobody_recorded():
    assert (
        site.description("X", {"face_size": "48", "checkpoint_sha256": ""})["accuracy"]
        == "not recorded"
    )


def test_without_onnxruntime_web_one_line_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "ONNX_RUNTIME", tmp_path)
    with pytest.raises(ToolError, match=r"^the page needs onnxruntime-web, .*npm ci .*demo$"):
        demo.work(demo.parser().parse_args(["--no_browser"]))


def test_a_browser_that_is_waited_for_gets_the_page(monkeypatch):
    """As those of the terminal are: $BROWSER, or lynx where there is no screen."""
    got = []

    def browse(url):
        with urllib.request.urlopen(url, timeout=9) as answer:
            got.append(answer.read())
        StopSignals.in_force.received = signal.SIGINT

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr(PageServer, "timeout", 0.01)
    demo.serve({"/": File("text/html", b"page")}, 0, browser=True)
    assert got == [b"page"]


def test_a_port_that_is_taken():
    with demo.open_server({}, 0) as server:
        port = server.server_address[1]
        with pytest.raises(ToolError, match=f"^--port {port}: address already in use$"):
            demo.open_server({}, port)
