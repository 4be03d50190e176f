"""``ferspore train --devices N``: the same command once for each device, through MindSpore's msrun.

msrun alone ends with code 0 at Ctrl-C, leaves its ranks behind at SIGTERM, and says of a failure
only where its logs are. So it is started in a session of its own and watched from here.
"""

import contextlib
import errno
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ferspore
from ferspore import cluster, runtime
from ferspore.cli import common
from ferspore.config.schema import Config, ConfigError
from ferspore.run.asked import Asked, Decision, StagesDecision
from ferspore.run.lock import RunLock
from ferspore.run.names import RANKS
from ferspore.run.opening import opened
from ferspore.tables import Say
from ferspore.training.faces import check_shares, load_faces
from ferspore.training.telling import continue_command

HOST = "127.0.0.1"
PORTS = range(20000, 32000)  # below those that Linux gives to connections
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0  # for all processes to end once one has: they end together
NOISE = re.compile(r"\[(INFO|WARNING|ERROR|CRITICAL)\] [A-Z_]+\(\d+,")  # MindSpore's own lines
REFUSED = 2  # the exit code for wrong input
LAST_LINES = 20  # that are shown of a rank that failed


def checked(asked: Asked, devices: int) -> Decision | StagesDecision:
    """What the ranks will do, after everything that can be checked without MindSpore.

    Raises:
        ConfigError, RefusalError, DataError, RunLockedError: it cannot be done.
        OSError: a file cannot be read or written.
    """
    with opened(asked) as decision:
        for part in parts_of(decision):
            check_shares(part.config, devices)
            if part.config.device_id is not None:
                raise ConfigError(
                    f"device_id: received {part.config.device_id}, but each of {devices} ranks "
                    "takes a device of its own; expected none, as by --set device_id=null"
                )
            # This also fills the cache, which several ranks must not do at the same time.
            sidecar = part.snapshot.sidecar if part.snapshot is not None else None
            load_faces(part.config, sidecar, lambda _: None)
    return decision


def parts_of(decision: Decision | StagesDecision) -> list[Decision]:
    """The runs that are still to be trained."""
    parts = decision.parts if isinstance(decision, StagesDecision) else (decision,)
    return [part for part in parts if not part.is_finished]


def launch(asked: Asked, decision: Decision | StagesDecision, devices: int, say: Say) -> int:
    """Train on ``devices`` devices of this host as ``checked``; returns the exit code.

    Raises:
        RunLockedError: another launch is at work in this folder; its first rank may not be yet.
        OSError: a file cannot be written, no process or port be had.
    """
    logs, is_new = asked.folder / RANKS, not asked.folder.exists()
    with RunLock(logs):
        remove_logs(logs)
        words = words_of_ranks(asked, parts_of(decision)[0].config)
        code = watched(logs, words, devices, continue_command(decision, devices), say)
        refused = code == REFUSED and [path.name for path in asked.folder.iterdir()] == [RANKS]
        if refused:
            remove_logs(logs)  # all has been shown, and what is refused leaves no trace
    if refused and is_new:
        with contextlib.suppress(OSError):  # somebody has written to it
            asked.folder.rmdir()
    return code


def remove_logs(logs: Path) -> None:
    for path in [*logs.glob("*.log"), *logs.glob("*.code")]:
        path.unlink()


def watched(logs: Path, words: Sequence[str], devices: int, again: str, say: Say) -> int:
    """The exit code of the ranks that run ``words``; ``again`` is the command that continues."""
    cluster.adopt_orphans()
    with runtime.StopSignals() as signals, (logs / "msrun.log").open("wb") as log:
        msrun = subprocess.Popen(
            msrun_command(devices, free_port(), logs, words),
            env=environment(logs),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C reaches this process only
        )
        watch = Watch(msrun, signals, Tail(logs / "rank_0.log", say))
        watch.until_end()
    code = exit_code(logs, devices)
    if code is not None:
        if code != 0:
            tell_of_followers(logs, devices)
        return code
    if signals.received is not None:
        say(f"{runtime.stop_text(signals.received)} before training began. To continue: {again}")
        return 128 + signals.received
    tell_of_followers(logs, devices)
    lost = watch.first_lost or "msrun"
    return common.fail(f"{lost} failed; the logs are in {logs}. To continue: {again}")


def words_of_ranks(asked: Asked, config: Config) -> list[str]:
    """This command's, and what it leaves to the run's ``config``: the ranks need it to join, which
    is before they read the folder."""
    words = sys.orig_argv[1:]
    for key in ("device", "tf32"):
        value = getattr(config, key)
        if value != getattr(asked.given.config, key):
            words += ["--set", f"{key}={json.dumps(value)}"]
    return words


# --- msrun ----------------------------------------------------------------------------------------


def msrun_command(devices: int, port: int, logs: Path, words: Sequence[str]) -> list[str]:
    """``words`` are Python's in each rank."""
    name = Path(sys.executable).name
    python = name if name in ("python", "python3") else "python3"  # msrun knows these two
    return [
        *(sys.executable, "-m", "ferspore.cli.launch"),  # `msrun`
        f"--worker_num={devices}",
        f"--local_worker_num={devices}",
        f"--master_addr={HOST}",
        f"--master_port={port}",
        f"--log_dir={logs}",
        "--worker_log_name=rank",
        f"--tail_worker_log={devices}",  # of no rank: `Tail` shows what is for the user
        "--join=True",
        *(python, *words),
    ]


def environment(logs: Path) -> dict[str, str]:
    """This process's own, in which msrun finds this interpreter and package, and ranks find us."""

    def first(path: Path, name: str) -> str:
        return os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))

    return {
        **os.environ,
        "PATH": first(Path(sys.executable).parent, "PATH"),
        "PYTHONPATH": first(Path(ferspore.__file__).parents[1], "PYTHONPATH"),
        cluster.USERS_PATH: os.environ.get("PATH", os.defpath),
        cluster.LAUNCHER: str(os.getpid()),
        cluster.EXIT_CODES: str(logs.absolute()),
    }


def free_port() -> int:
    """A port of this host that nobody listens on.

    Raises:
        OSError: this host has no loopback.
    """
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        return port


def exit_code(logs: Path, devices: int) -> int | None:
    """The first rank's, or that of another that failed; None where none left any."""
    found = [cluster.exit_code_in(logs, rank) for rank in range(devices)]
    return next((code for code in found if code is not None), None)


# --- watching -------------------------------------------------------------------------------------


@dataclass
class Tail:
    """A growing log, whose lines are passed on to the user but for MindSpore's own."""

    path: Path
    say: Say
    _read: int = 0

    def show(self) -> None:
        """Pass on the whole lines that are new."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._read += len(whole[0]) + len(whole[1])
        for line in without_noise(whole[0].decode(errors="replace")):
            self.say(line)


def without_noise(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if not NOISE.match(line))


@dataclass
class Watch:
    """msrun and the processes that it started."""

    msrun: subprocess.Popen
    signals: runtime.StopSignals
    tail: Tail
    first_lost: str | None = None
    _names: dict[int, str] = field(default_factory=dict)
    _passed_on: bool = False
    _deadline: float = float("inf")

    def until_end(self) -> None:
        """Wait for the end of all processes, and help where it does not come by itself."""
        while self.msrun.poll() is None:
            self.tail.show()
            self._look()
            if self.signals.received is not None and not self._passed_on:
                self._pass_on(self.signals.received)
            if time.monotonic() > self._deadline:
                self.msrun.kill()  # the others end with it
            time.sleep(POLL_SECONDS)
        for process in cluster.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGKILL)
        self.tail.show()

    def _look(self) -> None:
        """See who has come and who has ended."""
        living = cluster.living()
        for process, parent in living.items():
            if parent == self.msrun.pid and process not in self._names:
                told = cluster.environment_of(process)
                if told.get("MS_ROLE") == "MS_SCHED":
                    self._names[process] = f"the scheduler (process {process})"
                elif told.get("MS_ROLE") == "MS_WORKER":
                    self._names[process] = f"rank {told['RANK_ID']} (process {process})"
        lost = [name for process, name in self._names.items() if process not in living]
        if lost and self.first_lost is None:
            self.first_lost = lost[0]
            self._deadline = time.monotonic() + GRACE_SECONDS

    def _pass_on(self, number: int) -> None:
        """Ask the first rank to stop, and through it all; before there is one, end msrun."""
        self._passed_on = True
        for process, name in self._names.items():
            if name.startswith("rank 0 "):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
                return
        self.msrun.kill()


def tell_of_followers(logs: Path, devices: int) -> None:
    """Print what the other ranks said, which say nothing unless they fail."""
    for rank in range(1, devices):
        path = logs / f"rank_{rank}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        for line in list(without_noise(text))[-LAST_LINES:]:
            print(f"rank {rank}: {line}", file=sys.stderr, flush=True)


def msrun() -> None:
    """MindSpore's msrun with this process's words; it ends with the launcher."""
    cluster.end_with_launcher()

    from mindspore.parallel.cluster.run import main

    main()


if __name__ == "__main__":
    msrun()
