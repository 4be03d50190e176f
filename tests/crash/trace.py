"""Whether anything that a real training does to its files escapes the recorder, told by strace.

python -m tests.crash.trace
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crash.calls import Calls, Listener
from tests.reliability import record
from tests.runs import ROOT

# What strace calls it -> what the recorder calls it
CALLS = {
    **dict.fromkeys(["open", "openat", "creat"], "open"),
    **dict.fromkeys(["rename", "renameat", "renameat2"], "replace"),
    **dict.fromkeys(["unlink", "unlinkat"], "unlink"),
    **dict.fromkeys(["mkdir", "mkdirat"], "mkdir"),
    **dict.fromkeys(["fsync", "fdatasync"], "fsync"),
    **dict.fromkeys(["truncate", "ftruncate"], "truncate"),
    **dict.fromkeys(["link", "linkat", "symlink", "symlinkat"], "link"),
    "rmdir": "rmdir",
}
PROMISE = "no call that changes a file escapes the recorder of crash states"
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT")
Seen = Counter[tuple[str, str]]  # call and path


class Log(Listener):
    def __init__(self):
        self.seen: list[tuple[str, str]] = []

    def after(self, call: str, path: str, *told: Any) -> None:
        call = CALLS.get(call, call)
        if call in CALLS.values():
            self.seen.append((call, _last_name(call, told[0] if call == "replace" else path)))


def _last_name(call: str, path: str) -> str:
    """strace names a descriptor by what the file is called by now."""
    return path.replace("/.writing-", "/") if call == "fsync" else path


def train(work: Path) -> None:
    """One epoch and its end, then a resume with another, with an event log; what was recorded goes
    to ``work``/recorded.json."""
    from ferspore import runtime

    runtime.prepare()
    from tests import runs

    root, log = work / "root", Log()
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(root, flushes=True)
        calls.install(patch)
        with calls.heard_by(log):
            words = {"checkpoint__keep_checkpoint_max": 1, "logging__tensorboard": True}
            csv = work / "small.csv"
            runs.train(root / "run", csv, training__epochs=1, **words)
            runs.train(root / "run", csv, resume="auto", training__epochs=2, **words)
    (work / "recorded.json").write_text(json.dumps(log.seen))


def traced(lines: list[str], root: Path) -> Seen:
    """The calls below ``root`` that succeeded and change something."""
    seen: Seen = Counter()
    for line in lines:
        found = re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+)", line)
        if not found or found[3].startswith("-") or found[1] not in CALLS:
            continue
        call, told = CALLS[found[1]], found[2]
        paths = [path for path in re.findall(r'["<]([^">]*)[">]', told) if path.startswith("/")]
        if call == "open" and not WRITING.search(told):
            continue
        if paths and paths[-1].startswith(str(root) + os.sep):
            seen[call, _last_name(call, paths[-1])] += 1
    return seen


def main() -> int:
    strace = shutil.which("strace")
    if strace is None:
        print("strace is not installed: the recorder is not compared with it")
        return 0
    with tempfile.TemporaryDirectory(prefix="ferspore-") as name:
        work = Path(name)
        (work / "root").mkdir()
        from tests import runs

        runs.small_csv(work / "small.csv")
        words = [strace, "-f", "-y", "-qq", "--seccomp-bpf", "-s", "400"]
        words += ["-e", f"trace={','.join(CALLS)}", "-o", str(work / "trace")]
        words += [sys.executable, "-m", "tests.crash.trace", str(work)]
        cache = {"XDG_CACHE_HOME": str(work / "root" / "cache")}
        subprocess.run(words, cwd=ROOT, env={**os.environ, **cache}, check=True)
        recorded = Counter(tuple(one) for one in json.loads((work / "recorded.json").read_text()))
        real = traced((work / "trace").read_text().splitlines(), work / "root")
    for told, difference in (("escaped", real - recorded), ("not real", recorded - real)):
        for (call, path), times in sorted(difference.items()):
            print(f"{told}: {call} {path.removeprefix(name)} ({times} times)")
    if real != recorded:
        return 1
    figures = f"{real.total()} calls of a real training and its resume"
    record(PROMISE, "make crash-states", figures, "strace saw the same")
    print(f"{PROMISE}: {figures}: strace saw the same")
    return 0


if __name__ == "__main__":
    sys.exit(train(Path(sys.argv[1])) if len(sys.argv) > 1 else main())
