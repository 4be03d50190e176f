"""One trainer of its own process, and the instant of its end."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from soak_folder import KINDS, expect, kind_of, leftovers, snapshot_names

from ferspore.run.folder import read_folder

ANY, START = "at any instant", "while starting"
LAST_KINDS = KINDS[-2:]  # written once, at the end of a run
RARE_KINDS = ("configuration", *LAST_KINDS)  # written once a process, or once a run
SPREAD_SECONDS = 0.8  # a kill at any instant falls within so long after the first new snapshot
PATIENCE_SECONDS = 2.0  # so long after it, a kill that waits for a file falls anyway
LATE_SECONDS = 0.002  # a kill that waits for a file falls within so long after it appears
HANGS_SECONDS = 600.0
POLL_SECONDS = 0.0003
FAULTS = ("passed over", "rebuilt", "from scratch", "Traceback")


class Trainer:
    """Runs ``command``, which trains in ``folder``; with ``mute``, nobody reads what it prints."""

    def __init__(
        self, command: list[str], folder: Path, environment: dict[str, str], *, mute: bool = False
    ):
        self.mute = mute
        self.folder = folder
        self.log_path = folder.with_name(folder.name + ".log")
        self.old_files, self.old_snapshots = leftovers(folder), snapshot_names(folder)
        self.began = time.monotonic()
        self.ready_at: float | None = None  # when its first snapshot was there
        with self.log_path.open("wb") as log:
            output = _broken_pipe() if mute else os.dup(log.fileno())
            self.process = subprocess.Popen(
                command, cwd=folder.parent, env=environment, stdout=output, stderr=log
            )
            os.close(output)

    def wait(self) -> None:
        """Let it come to its end, which has to be a good one."""
        code = self.process.wait(timeout=HANGS_SECONDS)
        expect(code == 0, f"{self.folder}: exit code {code}\n{self._log()}")
        self._check_log()

    def reach(self, plan: str, rng: np.random.Generator, ready_seconds: float) -> None:
        """Let it live until the instant that is planned, or its end."""
        try:
            self._sleep_until(plan, rng, ready_seconds)
        except BaseException:
            self.process.kill()
            raise

    def end(self, number: signal.Signals) -> str | None:
        """Send a signal that ends it; what it was doing then, or None where it had ended."""
        phase = self._phase() if number != signal.SIGKILL else None
        self.process.send_signal(number)
        code = self.process.wait(timeout=HANGS_SECONDS)
        if code == 0:
            self.wait()
            return None
        expect(code in (-number, 128 + number), f"{self.folder}: exit code {code}\n{self._log()}")
        self._check_log()
        return phase or self._phase()

    def _log(self) -> str:
        return self.log_path.read_text()

    def _check_log(self) -> None:
        """After SIGKILLs alone every file is whole: none may be passed over or mended."""
        faults = [words for words in FAULTS if words in self._log()]
        if not self.old_snapshots and "from scratch" in faults:
            faults.remove("from scratch")
        expect(not faults, f"{self.folder}: {faults} in the output\n{self._log()}")

    def _sleep_until(self, plan: str, rng: np.random.Generator, ready_seconds: float) -> None:
        start_deadline = self.began + ready_seconds * rng.random()
        spread, late = SPREAD_SECONDS * rng.random(), LATE_SECONDS * rng.random()
        patience = PATIENCE_SECONDS if plan not in LAST_KINDS else float("inf")
        while self.process.poll() is None:
            now = time.monotonic()
            expect(now < self.began + HANGS_SECONDS, f"{self.folder}: the trainer hangs")
            if plan == START and now >= start_deadline:
                return
            if self.ready_at is None and snapshot_names(self.folder) - self.old_snapshots:
                self.ready_at = now
            since = -1.0 if self.ready_at is None else now - self.ready_at
            if (plan == ANY and since >= spread) or since >= patience:
                return
            in_time = since >= spread or plan in RARE_KINDS  # those cannot wait for an instant
            if in_time and plan in map(kind_of, self._new_files()):
                time.sleep(late)
                return
            time.sleep(POLL_SECONDS)

    def _new_files(self) -> list[str]:
        found = leftovers(self.folder).items()
        return [name for name, at in found if self.old_files.get(name) != at]

    def _phase(self) -> str:
        """What it was doing, from what it left behind."""
        if kinds := {kind_of(name) for name in self._new_files()}:
            return "writing: " + max(kinds, key=KINDS.index)  # a sidecar comes after its file
        log = self._log()
        if self.mute:
            return "printing to nobody"
        if " parameters, " not in log:
            return "starting: imports, data, network"
        if log.rstrip().endswith("evaluating it first"):
            return "evaluating"
        if not snapshot_names(self.folder) - self.old_snapshots:
            return "starting: restoring, compiling"
        newest = read_folder(self.folder).newest.sidecar
        if newest.step == newest.steps_per_epoch and not newest.evaluated:
            return "evaluating"
        return "training" if newest.epoch < newest.config["training"]["epochs"] else "finishing"


def _broken_pipe() -> int:
    """A descriptor that every write to fails."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing
