"""Watch a model in the browser: the camera, an image or a video, on this machine alone.

ferspore demo [--ckpt best_model.ckpt] [--port 8000] [--no_browser]

Exports the model to ONNX and serves a page on 127.0.0.1 that runs it with onnxruntime-web. Faces
never leave the machine, and the page may load nothing from the network. Ctrl-C ends it.
"""

import argparse
import signal
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from ferspore import runtime
from ferspore.cli import common

if TYPE_CHECKING:
    from ferspore.demo.server import File, PageServer


def parser() -> argparse.ArgumentParser:
    parser = common.parser(__doc__)
    common.add_ckpt_argument(parser, required=False)
    parser.add_argument(
        "--port",
        type=common.whole_number(0, 65535),
        default=0,
        metavar="N",
        help="the page's port (default: a free one)",
    )
    parser.add_argument("--no_browser", action="store_true", help="only print the address")
    return parser


def main(words: list[str]) -> int:
    return common.run(work, parser(), words)


def work(arguments: argparse.Namespace) -> int:
    from ferspore.demo.site import MissingRuntimeError, require_runtime
    from ferspore.export.onnx_model import MissingPackageError
    from ferspore.export.parity import ParityError
    from ferspore.run.ckpt import UnsoundError

    try:
        require_runtime()
        ckpt = common.checkpoint(arguments.ckpt)
        if not ckpt.is_file():
            raise common.ToolError(f"{ckpt}: no such file")
        files = page_files(ckpt, str(ckpt) if arguments.ckpt else "the shipped one")
    except (MissingRuntimeError, MissingPackageError) as error:
        raise common.ToolError(error) from error
    except UnsoundError as error:
        raise common.ToolError(f"{ckpt}: {error}") from error
    except ParityError as error:
        return common.fail(error)
    serve(files, arguments.port, browser=not arguments.no_browser)
    return 0


def page_files(ckpt: Path, name: str) -> "dict[str, File]":
    from ferspore.demo.site import site
    from ferspore.export.onnx import export_onnx

    runtime.select_device("CPU")
    with tempfile.TemporaryDirectory() as folder:
        exported = export_onnx(ckpt, Path(folder, "model.onnx"))
        for line in exported.lines:
            print(line)
        return site(exported.path.read_bytes(), name, exported.metadata)


def serve(files: "dict[str, File]", port: int, *, browser: bool) -> None:
    """Until a signal comes. Raises ToolError where the port cannot be had."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a browser that hangs up must not end us
    with runtime.StopSignals() as stop, open_server(files, port) as server:
        print(f"{server.url} (Ctrl-C ends it)", flush=True)
        if browser:
            open_browser(server.url)
        while stop.received is None:
            server.handle_request()
    print(runtime.stop_text(stop.received))


def open_server(files: "dict[str, File]", port: int) -> "PageServer":
    """Raises ToolError."""
    from ferspore.demo.server import PageServer

    try:
        return PageServer(files, port)
    except OSError as error:
        raise common.ToolError(
            f"--port {port}: {(error.strerror or str(error)).lower()}"
        ) from error


def open_browser(url: str) -> None:
    """In a thread, since a browser in the terminal is waited for, and waits for the page."""

    def show() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a browser inherits the mask
        webbrowser.open(url)

    threading.Thread(target=show, daemon=True).start()
