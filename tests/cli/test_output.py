"""The standard streams: foreign text is escaped, and their loss is an error or none."""

import os
import subprocess
import sys

import pytest

from tests import runs

FULL = "/dev/full"
SAYS = "from ferspore.cli.output import guard_output; guard_output({}); {}"


def python(code, how="", **streams):
    return subprocess.run(
        [sys.executable, "-c", SAYS.format(how, code)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        text=True,
        timeout=60,
    )


def test_control_characters_are_escaped_and_our_own_are_not():
    told = "\x1b[32mPASS\x1b[0m\t\u00e9 \x1b[2J\x1b]0;title\x07 \x9b1m \u202e \udcff a\rb\n"
    done = python(f"print({told!r}, end='')")
    expected = (
        "\x1b[32mPASS\x1b[0m\t\u00e9 \\x1b[2J\\x1b]0;title\\x07 \\x9b1m \\u202e \\udcff a\\rb\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_a_progress_bar_may_return_to_the_start_of_its_line():
    done = python("import sys; sys.stdout.write('\\r50%')")
    assert done.stdout == "\n50%"  # with text=True a return is a line end


@pytest.mark.parametrize("lost", [FULL, "pipe", "closed"])
def test_a_lasting_output_may_be_lost(lost):
    reading, writing = os.pipe()
    os.close(reading)
    with open(FULL, "w") as full:  # noqa: PTH123
        done = python(
            "print('x' * 100_000, flush=True); print('more')",
            "lasting=True",
            stdout={FULL: full, "pipe": writing, "closed": None}[lost],
            preexec_fn=lambda: os.close(1) if lost == "closed" else None,
        )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_tool_tells_once_that_its_output_was_lost(tmp_path):
    with open(FULL, "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, runs.ROOT / "tools" / "list_runs.py", tmp_path],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "list_runs.py: [Errno 28] No space left on device\n"
