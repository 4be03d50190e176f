"""The page's server answers for its own files, on this machine, and tells the browser no more."""

import http.client
import threading

import pytest

from ferspore.demo.server import HEADERS, File, PageServer

FILES = {"/": File("text/html; charset=utf-8", b"<p>page"), "/a.js": File("text/javascript", b"1")}


@pytest.fixture(scope="module")
def server():
    with PageServer(FILES) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


def ask(server, path="/", method="GET", host="127.0.0.1"):
    connection = http.client.HTTPConnection(*server.server_address, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8000"])
def test_a_file_is_answered_as_it_is(server, path, host):
    answer, content = ask(server, path, host=host)
    assert (answer.status, content) == (200, FILES[path].content)
    assert answer.headers["Content-Type"] == FILES[path].kind


@pytest.mark.parametrize(
    "path",
    [
        "/b.js",
        "/a.js/",
        "//a.js/..",
        "/../server.py",
        "/%2e%2e/server.py",
        "/a.js?x",
        "/page/../",
        "a",
    ],
)
def test_only_the_named_files_are_there(server, path):
    answer, _ = ask(server, path)
    assert answer.status == 404


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.", "[::1]"],
)
def test_another_host_gets_nothing(server, host):
    answer, content = ask(server, host=host)
    assert answer.status == 421 and b"page" not in content


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_get(server, method):
    answer, _ = ask(server, method=method)
    assert answer.status == 501


@pytest.mark.parametrize(("path", "host"), [("/", "localhost"), ("/b", "localhost"), ("/", "evil")])
def test_every_answer_forbids_the_network(server, path, host):
    answer, _ = ask(server, path, host=host)
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    policy = dict(
        rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    allowed = {word for sources in policy.values() for word in sources.split()}
    assert allowed == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:"}


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"
