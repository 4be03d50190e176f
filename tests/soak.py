"""Kill small runs at random instants, resume them, and compare with the runs never stopped.

    python tests/soak.py [--kills 200] [--damages 500] [--lanes 2] [--seed N]

Each run is a real process (70 practice faces, a tiny net, a snapshot every step or two) that gets
SIGKILL again and again: while it starts, at any instant of its training and evaluation, and while
it writes a file of each kind. After each kill the folder is examined as it lies there; then the
run is resumed. A run that reaches its end has to equal, file by file, the run with the same
settings that was never stopped; then another one begins. At the end --damages random damages are
done to a snapshot or its sidecar: each must be noticed or leave the very same values.

A pass with at least 200 kills is written to docs/soak.md. After a difference the exit code is 1,
and the seed and the folder are named.
"""

import argparse
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ferspore import runtime
from ferspore.config.loading import load_config
from ferspore.files import WRITING
from ferspore.run.ckpt import UnsoundError, not_finite, read_ckpt
from ferspore.run.folder import list_snapshots, newest_sound, read_snapshot
from ferspore.run.names import BEST, CONFIG, FINAL, METRICS, SNAPSHOT_NAME, sidecar_path
from ferspore.run.progress import is_better
from ferspore.run.sidecar import versions
from tests import runs
from tests.damage import damaged
from tests.same_run import differences

REPORT = runs.ROOT / "docs" / "soak.md"
KILLS_THAT_COUNT = 200
EPOCHS = 60
VARIANTS = (
    {"seed": 1, "sidecar.save_checkpoint_steps": 1, "training.monitor": "val_loss"},
    {"seed": 2, "sidecar.save_checkpoint_steps": 2, "sidecar.keep_checkpoint_max": 1},
    {"seed": 3, "sidecar.save_checkpoint_steps": 1, "training.optimizer": "adamw",
     "training.lr": 0.003, "training.monitor": "val_loss"},
    {"seed": 4, "sidecar.save_checkpoint_steps": 2, "training.ema_decay": 0.9},
)  # fmt: skip

ANY, START = "at any instant", "while starting"
KINDS = (
    "snapshot",
    "snapshot's sidecar",
    "best model",
    "best model's sidecar",
    "metrics",
    "configuration",
    "final model",
    "final model's sidecar",
)
STEMS = {"best_model": KINDS[2], "metrics": KINDS[4], "config": KINDS[5], "final_model": KINDS[6]}
LAST_KINDS = KINDS[-2:]  # written once, at the end of a run
SPREAD_SECONDS = 0.8  # a kill at any instant falls within so long after the first new snapshot
PATIENCE_SECONDS = 2.0  # so long after it, a kill that waits for a file falls anyway
HANGS_SECONDS = 600.0
POLL_SECONDS = 0.0003


class SoakError(Exception):
    """Something is not as it should be; the text says what, and where."""


# --- looking at a folder ----------------------------------------------------------------------


def kind_of(leftover: str) -> str:
    """What was being written, from the name of an unfinished file (MindSpore's end in .tmp)."""
    stem, _, ending = leftover.removeprefix(WRITING).rpartition(".")
    kind = "snapshot" if stem.startswith("fer-") else STEMS[stem]
    return f"{kind}'s sidecar" if ending == "json" else kind


def leftovers(folder: Path) -> dict[str, int]:
    """Unfinished files, and when each was last written."""
    found = {}
    for entry in os.scandir(folder):
        if entry.name.startswith(WRITING):
            try:
                found[entry.name] = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it has just been renamed
    return found


def snapshots(folder: Path) -> set[str]:
    names = [path.name for path in folder.iterdir()]
    return {name for name in names if SNAPSHOT_NAME.fullmatch(name)}


@dataclass(frozen=True)
class State:
    """How far a folder is; none of it may ever go back."""

    position: tuple[int, bool] = (0, False)  # global step of the newest snapshot, evaluated
    epoch: int = 0
    best: float | None = None


def examine(folder: Path, monitor: str, before: State) -> State:
    """Check all files that count, right after a kill.

    Raises:
        SoakError: one is not whole, or the run went back.
    """
    for path in list_snapshots(folder):
        if sidecar_path(path).exists():
            sound(read_snapshot, path)
    if (folder / CONFIG).exists():
        load_config(folder / CONFIG)
    if (folder / METRICS).exists():
        lines = (folder / METRICS).read_text().splitlines()
        epochs = [json.loads(line)["epoch"] for line in lines]
        expect(epochs == list(range(1, len(epochs) + 1)), f"{folder / METRICS}: epochs {epochs}")
    if (folder / FINAL).exists():
        sound(read_ckpt, folder / FINAL)
    best = best_of(folder, monitor)
    if before.best is not None:
        lost = best is None or is_better(monitor, before.best, best)
        expect(not lost, f"{folder / BEST}: {monitor} was {before.best}, is {best}")
    newest, _ = newest_sound(folder)
    if newest is None:
        expect(before.position == (0, False), f"{folder}: no sound snapshot is left")
        return State(best=best)
    position = (newest.sidecar.global_step, newest.sidecar.evaluated)
    expect(position >= before.position, f"{folder}: went back, {before.position} -> {position}")
    return State(position, newest.sidecar.epoch, best)


def sound(read: Callable, path: Path):
    try:
        return read(path)
    except UnsoundError as error:
        raise SoakError(f"{path}: {error}") from error


def best_of(folder: Path, monitor: str) -> float | None:
    """The best model's monitored value, from inside the file, whose weights must be finite."""
    path = folder / BEST
    if not path.exists():
        return None
    contents = sound(read_ckpt, path)
    expect(not not_finite(contents.tensors), f"{path}: values that are not finite")
    return contents.info["best_accuracy" if monitor == "val_accuracy" else "val_loss"]


def expect(true: bool, text: str) -> None:
    if not true:
        raise SoakError(text)


# --- one run, killed again and again -----------------------------------------------------------


@dataclass
class Tally:
    """What all lanes share: kills still to be given, those given by phase, runs ended equal."""

    wanted: int
    given: int = 0
    phases: collections.Counter = field(default_factory=collections.Counter)
    runs: int = 0
    failure: str | None = None
    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def over(self) -> bool:
        return self.given >= self.wanted or self.failure is not None

    def count(self, phase: str) -> None:
        with self.lock:
            self.given += 1
            self.phases[phase] += 1
            if self.given % 10 == 0 or self.given == self.wanted:
                seconds = time.monotonic() - self.started
                done = f"{self.given}/{self.wanted} kills, {self.runs} runs ended equal"
                print(f"{done}, {seconds:.0f} s", flush=True)


class Lane:
    """Runs one after the other, in folders of its own."""

    def __init__(self, number: int, lanes: int, work: Path, seed: int, tally: Tally):
        self.work = work / f"lane{number}"
        self.work.mkdir()
        self.csv = work / "faces.csv"
        self.rng = np.random.default_rng([seed, number])
        self.variants = VARIANTS[number::lanes]
        self.tally = tally
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
        self.ready_seconds = 6.0  # from a process's begin to its first step; measured as it goes

    def run(self) -> None:
        turn = 0
        while not self.tally.over:
            variant = self.variants[turn % len(self.variants)]
            folder = self.work / f"run{turn}"
            reference = self.work / f"straight{variant['seed']}"
            if not reference.exists():
                self.finish(reference, variant)
            self.soak(folder, variant)
            if self.tally.failure:
                return
            if found := list(differences(folder, reference)):
                raise SoakError(f"{folder} is not {reference}: " + "; ".join(found))
            shutil.rmtree(folder)
            with self.tally.lock:
                self.tally.runs += 1
            turn += 1

    def soak(self, folder: Path, variant: dict) -> None:
        """One run to its end, with kills on the way while there are some to give."""
        monitor = variant.get("training.monitor", "val_accuracy")
        folder.mkdir()
        state = State()
        while not self.tally.over:
            process = Process(self.command(folder, variant, state), folder, self.environment)
            phase = process.kill_at(self.plan(state), self.rng, self.ready_seconds)
            if phase is None:
                return  # it came to its end before its kill
            if process.ready_at is not None:
                self.ready_seconds = process.ready_at - process.began
            state = examine(folder, monitor, state)
            self.tally.count(phase)
        self.finish(folder, variant)

    def finish(self, folder: Path, variant: dict) -> None:
        folder.mkdir(exist_ok=True)
        process = Process(self.command(folder, variant, State()), folder, self.environment)
        process.wait()

    def command(self, folder: Path, variant: dict, state: State) -> list[str]:
        bare = ["--save_dir", folder, "--resume"]
        if state.epoch and self.rng.random() < 0.5:
            return runs.command(*bare)
        changes = {"training.epochs": EPOCHS, **variant}
        return runs.command(*runs.settings_words(self.csv, **changes), *bare)

    def plan(self, state: State) -> str:
        """What the next kill waits for."""
        if state.epoch > EPOCHS - 12 and self.rng.random() < 0.5:
            return str(self.rng.choice(LAST_KINDS))
        draw = self.rng.random()
        if draw < 0.15:
            return START
        return ANY if draw < 0.6 else str(self.rng.choice(KINDS[:-2]))


class Process:
    """One trainer, and the instant of its death."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]):
        self.folder = folder
        self.log = folder.with_name(folder.name + ".log")
        self.old_files, self.old_snapshots = leftovers(folder), snapshots(folder)
        self.began = time.monotonic()
        self.ready_at: float | None = None
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder.parent, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self) -> None:
        """Let it come to its end, which has to be a good one."""
        code = self.process.wait(timeout=HANGS_SECONDS)
        expect(code == 0, f"{self.folder}: exit code {code}\n{self.log.read_text()}")
        self._check_log()

    def kill_at(self, plan: str, rng: np.random.Generator, ready_seconds: float) -> str | None:
        """Kill it as planned; what it was doing then, or None where it came to its end."""
        try:
            self._sleep_until(plan, rng, ready_seconds)
        finally:
            self.process.kill()
        if self.process.wait() != -signal.SIGKILL:
            self.wait()
            return None
        self._check_log()
        return self._phase()

    def _check_log(self) -> None:
        """After SIGKILLs alone every snapshot is whole: none may be passed over."""
        log = self.log.read_text()
        faults = [words for words in ("passed over", "Traceback", "from scratch") if words in log]
        if "from scratch" in faults and not self.old_snapshots:
            faults.remove("from scratch")
        expect(not faults, f"{self.folder}: {faults} in the output\n{log}")

    def _sleep_until(self, plan: str, rng: np.random.Generator, ready_seconds: float) -> None:
        start_deadline = self.began + ready_seconds * rng.random()
        spread, late = SPREAD_SECONDS * rng.random(), 0.002 * rng.random()
        patience = PATIENCE_SECONDS if plan not in LAST_KINDS else float("inf")
        while self.process.poll() is None:
            now = time.monotonic()
            expect(now < self.began + HANGS_SECONDS, f"{self.folder}: the trainer hangs")
            if plan == START and now >= start_deadline:
                return
            if self.ready_at is None and snapshots(self.folder) - self.old_snapshots:
                self.ready_at = now
            since = -1.0 if self.ready_at is None else now - self.ready_at
            if (plan == ANY and since >= spread) or since >= patience:
                return
            # Files that are written once a process or a run cannot wait for a random instant.
            in_time = since >= spread or plan in ("configuration", *LAST_KINDS)
            if in_time and plan in map(kind_of, self._new_files()):
                time.sleep(late)
                return
            time.sleep(POLL_SECONDS)

    def _new_files(self) -> list[str]:
        return [
            name for name, at in leftovers(self.folder).items() if self.old_files.get(name) != at
        ]

    def _phase(self) -> str:
        """What the process was doing, from what it left behind."""
        kinds = {kind_of(name) for name in self._new_files()}
        if kinds:
            return "writing: " + max(kinds, key=KINDS.index)  # a sidecar comes after its file
        log = self.log.read_text()
        if " parameters, " not in log:
            return "starting: imports, data, network"
        if log.rstrip().endswith("evaluating it first"):
            return "evaluating"
        written = snapshots(self.folder)
        if not written - self.old_snapshots:
            return "starting: restoring, compiling"
        newest = list_snapshots(self.folder)[-1]
        sidecar = read_snapshot(newest).sidecar
        if sidecar.step == sidecar.steps_per_epoch and not sidecar.evaluated:
            return "evaluating"
        return "training" if sidecar.epoch < EPOCHS else "finishing"


# --- damages ------------------------------------------------------------------------------------


def damage(source: Path, count: int, seed: int, work: Path) -> int:
    """Damage a snapshot or its sidecar ``count`` times; how many were noticed.

    Raises:
        SoakError: a damaged one was read, with other values. (Any other exception is a fault too.)
    """
    rng = np.random.default_rng([seed, 99])
    path = work / source.name
    parts = (path, sidecar_path(path))
    originals = [(source.parent / part.name).read_bytes() for part in parts]
    truth = read_snapshot(source)
    noticed = 0
    for _ in range(count):
        chosen = int(rng.integers(2))
        for index, part in enumerate(parts):
            content = originals[index]
            part.write_bytes(damaged(content, rng) if index == chosen else content)
        try:
            found = read_snapshot(path)
        except UnsoundError:
            noticed += 1
            continue
        same = found.sidecar == truth.sidecar and raw(found.tensors) == raw(truth.tensors)
        expect(same, f"{path}: a wrong load of a damaged {parts[chosen].name}")
    return noticed


def raw(tensors: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (value.dtype, value.shape, value.tobytes()) for name, value in tensors.items()}


# --- the whole -----------------------------------------------------------------------------------


def run_lanes(count: int, work: Path, seed: int, tally: Tally) -> None:
    def work_in(lane: Lane) -> None:
        try:
            lane.run()
        except Exception as error:
            text = str(error) if isinstance(error, SoakError) else repr(error)
            tally.failure = tally.failure or text
            if not isinstance(error, SoakError):
                raise

    lanes = [Lane(number, count, work, seed, tally) for number in range(count)]
    threads = [threading.Thread(target=work_in, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report(tally: Tally, damages: int, noticed: int, command: str) -> str:
    found = versions()
    total = sum(tally.phases.values())
    rows = "\n".join(f"| {phase} | {count} |" for phase, count in sorted(tally.phases.items()))
    return f"""# The last soak

`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: **passed**.

{total} SIGKILLs, each followed by an examination of the folder and a resume;
{tally.runs} runs of {EPOCHS} epochs came to their end, and each equals the run with the same
settings that was never stopped: every snapshot of the window, the best and the final model byte
for byte, every sidecar and the metrics but for times. {time.monotonic() - tally.started:.0f} s.

| what the process was doing | kills |
|---|---|
{rows}

{damages} random damages of a snapshot or its sidecar: {noticed} refused, {damages - noticed} left \
the very same values, none was loaded wrong.

ferspore {found["ferspore"]}, MindSpore {found["mindspore"]}, numpy {found["numpy"]}, \
Python {found["python"]}, {runtime.cores()} cores.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS_THAT_COUNT)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time, at most 4")
    parser.add_argument("--seed", type=int, help="of the instants; default: the time")
    arguments = parser.parse_args()
    if not 1 <= arguments.lanes <= len(VARIANTS):
        parser.error(f"--lanes {arguments.lanes}: expected 1 to {len(VARIANTS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    work = Path(tempfile.mkdtemp(prefix="ferspore-soak-"))
    runs.small_csv(work / "faces.csv")
    tally = Tally(arguments.kills)
    print(f"seed {seed}, in {work}", flush=True)
    run_lanes(arguments.lanes, work, seed, tally)
    noticed = 0
    if tally.failure is None:
        try:
            newest, _ = newest_sound(next(work.glob("lane0/straight*")))
            noticed = damage(newest.path, arguments.damages, seed, work)
        except SoakError as error:
            tally.failure = str(error)
    for phase, count in sorted(tally.phases.items()):
        print(f"  {phase:34} {count}")
    if tally.failure:
        print(f"FAILED with --seed {seed}, kept in {work}:\n{tally.failure}", file=sys.stderr)
        return 1
    print(f"passed: {tally.given} kills, {tally.runs} runs equal, {noticed} of "
          f"{arguments.damages} damages refused, none loaded wrong")  # fmt: skip
    if tally.given >= KILLS_THAT_COUNT:
        words = " ".join(["python tests/soak.py", *sys.argv[1:]])
        REPORT.write_text(report(tally, arguments.damages, noticed, words))
        print(f"written: {REPORT}")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
