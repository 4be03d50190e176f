"""A server for one page, for this machine only.

It answers GET for the files that it was given by name, on 127.0.0.1, and only to a browser that
asked for this host: a foreign site whose name was made to point here (DNS rebinding) gets nothing.
The Content-Security-Policy lets the page load and send nothing anywhere else.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",  # WebAssembly is compiled, strings are not
    "style-src": "'self'",
    "img-src": "'self'",
    "media-src": "blob:",  # the video file that the user chose
    "connect-src": "'self'",  # the networks
    "worker-src": "'self'",  # the threads of onnxruntime-web
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next: threads may share memory
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # the next model may be served at the same address
}


@dataclass(frozen=True)
class File:
    """What a path is answered with."""

    kind: str  # media type
    content: bytes


class PageServer(ThreadingTCPServer):
    """Serves ``files``, by their paths ("/" is the page itself); ``port`` 0 takes a free one.

    Raises:
        OSError: the port is taken, or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = True
    timeout = 0.5  # seconds that `handle_request` waits for one

    def __init__(self, files: Mapping[str, File], port: int = 0):
        self.files = files
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the browser hung up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "ferspore", ""
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a silent connection is kept

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in HOSTS:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif (file := self.server.files.get(self.path)) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", file.kind)
            self.send_header("Content-Length", str(len(file.content)))
            self.end_headers()
            self.wfile.write(file.content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_) -> None:
        """The terminal is for the command's own lines."""
