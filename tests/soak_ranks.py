"""Stop and kill processes of a small run on two devices at random, resume it, compare the end.

    python tests/soak_ranks.py [--rounds 100] [--seed N]

Each round starts `train --devices 2 --resume` and, at a random instant from its start on, sends
SIGTERM or SIGINT to the command, or SIGKILL to one of its processes: command, msrun, scheduler, a
rank. Within a minute no process may be left, the exit code must tell, and the folder must be
resumable and not have gone back. A run that comes to its end has to equal, file by file, the run
on two devices that was never stopped; then another one begins.
"""

import argparse
import collections
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import runs
from same_run import differences
from soak_folder import SoakError, State, examine, expect

from ferspore import cluster
from ferspore.run.folder import read_folder

SETTINGS = {"training.epochs": 40, "checkpoint.save_checkpoint_steps": 1}
STEPS = SETTINGS["training.epochs"] * 4
STOPS = {"SIGTERM": 143, "SIGINT": 130}
VICTIMS = ("command", "msrun", "scheduler", "rank 0", "rank 1")
END_SECONDS = 60.0
HANGS_SECONDS = 900.0
TRAINS_SECONDS = 4.0  # a stop falls within so long after the first step


class Launched:
    """One `train --devices 2` and the processes below it."""

    def __init__(self, words: list[str], folder: Path):
        self.log_path = folder.with_name(folder.name + ".log")
        self.began = time.monotonic()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                runs.command(*words), cwd=folder.parent, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self.log_path.read_text()

    def named(self) -> dict[str, int]:
        """Its living processes: name -> process id."""
        found = {}
        for process in cluster.living():
            told = cluster.environment_of(process)
            if told.get(cluster.LAUNCHER) != str(self.process.pid):
                continue
            roles = {"MS_SCHED": "scheduler", "MS_WORKER": f"rank {told.get('RANK_ID')}"}
            found[roles.get(told.get("MS_ROLE", ""), "msrun")] = process
        if self.process.poll() is None:
            found["command"] = self.process.pid
        return found

    def disturb(self, what: str) -> bool:
        """Stop or kill; whether there was something to."""
        if what in STOPS:
            if self.process.poll() is None:
                self.process.send_signal(signal.Signals[what])
            return True
        process = self.named().get(what)
        if process is not None:
            os.kill(process, signal.SIGKILL)
        return process is not None

    def wait_for_end(self, seconds: float) -> int:
        """Its exit code, when no process is left.

        Raises:
            SoakError: one is.
        """
        deadline = time.monotonic() + seconds
        while self.process.poll() is None or self.named():
            late = time.monotonic() > deadline
            expect(not late, f"left after {seconds:.0f} s: {self.named()}\n{self.said}")
            time.sleep(0.2)
        return self.process.wait()


class Soak:
    def __init__(self, work: Path, seed: int):
        self.work = work
        self.csv = runs.small_csv(work / "faces.csv")
        self.rng = np.random.default_rng(seed)
        self.tally: collections.Counter[str] = collections.Counter()
        self.equal = 0
        self.ready_seconds = 15.0  # from a start to the first step; measured as it goes

    def launch(self, folder: Path) -> Launched:
        words = runs.settings_words(self.csv, **SETTINGS)
        return Launched([*words, "--save_dir", str(folder), "--resume", "--devices", "2"], folder)

    def to_its_end(self, folder: Path) -> None:
        launched = self.launch(folder)
        code = launched.wait_for_end(HANGS_SECONDS)
        expect(code == 0, f"{folder}: exit code {code}\n{launched.said}")

    def run(self, rounds: int) -> None:
        reference = self.work / "straight"
        self.to_its_end(reference)
        folder, state = self.work / "run", State()
        for number in range(1, rounds + 1):
            state = self.round(folder, state)
            if state.position[0] == STEPS and (folder / "final_model.ckpt").exists():
                self.compare(folder, reference)
                state = State()
            print(f"{number}/{rounds}: {dict(self.tally)}, {self.equal} runs equal", flush=True)
        if folder.exists():
            self.to_its_end(folder)
            self.compare(folder, reference)

    def compare(self, folder: Path, reference: Path) -> None:
        self.to_its_end(folder)  # what a stop at the very end may have left out
        if found := list(differences(folder, reference)):
            raise SoakError(f"{folder} is not {reference}: " + "; ".join(found))
        shutil.rmtree(folder)
        self.equal += 1

    def round(self, folder: Path, before: State) -> State:
        what = str(self.rng.choice([*STOPS, *VICTIMS]))
        launched = self.launch(folder)
        self.wait_for_instant(launched, folder)
        given = launched.disturb(what)
        code = launched.wait_for_end(END_SECONDS if given else HANGS_SECONDS)
        finished = code == 0 and "finished: " in launched.said
        expected = [STOPS[what]] if what in STOPS else [1, -signal.SIGKILL]
        expect(
            finished or (given and code in expected),
            f"{what}: exit code {code}\n{launched.said}",
        )
        self.tally["ended before" if finished else what] += 1
        if not folder.exists():
            return before
        return examine(folder, "val_accuracy", before)

    def wait_for_instant(self, launched: Launched, folder: Path) -> None:
        """A quarter of the instants lie in the start, the others in the training."""
        early = self.rng.random() < 0.25
        seconds = self.rng.random() * (self.ready_seconds if early else TRAINS_SECONDS)
        there = newest_step(folder)
        while launched.process.poll() is None:
            if early and time.monotonic() - launched.began > seconds:
                return
            if not early and newest_step(folder) != there:
                self.ready_seconds = time.monotonic() - launched.began
                time.sleep(seconds)
                return
            time.sleep(0.1)


def newest_step(folder: Path) -> int:
    newest = read_folder(folder).newest
    return 0 if newest is None else newest.sidecar.global_step


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, help="of the instants; default: the time")
    arguments = parser.parse_args()
    # In the background of a script SIGINT is ignored, and would be in the runs as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    work = Path(tempfile.mkdtemp(prefix="ferspore-ranks-"))
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    print(f"seed {seed}, in {work}", flush=True)
    soak = Soak(work, seed)
    try:
        soak.run(arguments.rounds)
    except SoakError as error:
        print(f"FAILED with --seed {seed}, kept in {work}:\n{error}", file=sys.stderr)
        return 1
    print(f"passed: {arguments.rounds} rounds, {soak.equal} runs equal")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
