"""Runs that are killed again and again, one after the other in each of several lanes."""

import collections
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import runs
import soak_troubles
from same_run import differences
from soak_folder import KINDS, SoakError, State, examine
from soak_trainer import ANY, LAST_KINDS, START, Trainer

from ferspore.run.names import CONFIG

EPOCHS = 60
STEPS = EPOCHS * 4
NEAR_END = 48  # steps before the end, from which on a kill may wait for the run's last files
# How a trainer ends: mostly without a warning
ENDS, SHARES = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP), (0.7, 0.1, 0.1, 0.1)
VARIANTS = (
    {"seed": 1, "checkpoint.save_checkpoint_steps": 1, "training.monitor": "val_loss"},
    {"seed": 2, "checkpoint.save_checkpoint_steps": 2, "checkpoint.keep_checkpoint_max": 1},
    {"seed": 3, "checkpoint.save_checkpoint_steps": 1, "training.optimizer": "adamw",
     "training.lr": 0.003, "training.monitor": "val_loss"},
    {"seed": 4, "checkpoint.save_checkpoint_steps": 2, "training.ema_decay": 0.9},
)  # fmt: skip


@dataclass
class Tally:
    """What all lanes share: kills still to be given, the ends given by signal and by phase, what
    was borne before, runs that ended equal to the run never stopped."""

    wanted: int
    signals: collections.Counter[str] = field(default_factory=collections.Counter)
    phases: collections.Counter[str] = field(default_factory=collections.Counter)
    troubles: collections.Counter[str] = field(default_factory=collections.Counter)
    runs: int = 0
    failure: str | None = None
    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def given(self) -> int:
        return self.signals["SIGKILL"]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def over(self) -> bool:
        return self.given >= self.wanted or self.failure is not None

    def count(self, number: signal.Signals, phase: str) -> None:
        with self.lock:
            self.signals[number.name] += 1
            self.phases[phase] += 1
            if self.phases.total() % 10 == 0 or self.given == self.wanted:
                done = f"{self.given}/{self.wanted} kills, {self.runs} runs ended equal"
                print(f"{done}, {self.seconds:.0f} s", flush=True)


class Lane:
    """Runs one after the other, in folders of its own."""

    def __init__(self, number: int, lanes: int, work: Path, seed: int, tally: Tally):
        self.work = work / f"lane{number}"
        self.work.mkdir(parents=True)
        self.csv = runs.small_csv(self.work / "faces.csv")
        self.rng = np.random.default_rng([seed, number])
        self.variants = VARIANTS[number::lanes]
        self.tally = tally
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
        self.ready_seconds = 6.0  # from a trainer's begin to its first step; measured as it goes

    def run(self) -> None:
        turn = 0
        while not self.tally.over:
            variant = self.variants[turn % len(self.variants)]
            folder = self.work / f"run{turn}"
            reference = self.work / f"straight{variant['seed']}"
            if not reference.exists():
                reference.mkdir()
                self.start(reference, variant).wait()
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
        folder.mkdir()
        state = State()
        while not self.tally.over:
            trainer = self.start(folder, variant)
            trainer.reach(self.plan(state), self.rng, self.ready_seconds)
            self.trouble(trainer)
            number = ENDS[int(self.rng.choice(len(ENDS), p=SHARES))]
            phase = trainer.end(number)
            if phase is None:
                return  # it came to its own end before
            if trainer.ready_at is not None:
                self.ready_seconds = trainer.ready_at - trainer.began
            state = examine(folder, variant.get("training.monitor", "val_accuracy"), state)
            self.tally.count(number, phase)
        self.start(folder, variant).wait()

    def trouble(self, trainer: Trainer) -> None:
        chosen = soak_troubles.drawn(self.rng)
        if chosen is None or trainer.process.poll() is not None:
            return
        name, trouble = chosen
        try:
            trouble(trainer, self.csv, self.rng)
        except BaseException:
            trainer.process.kill()
            raise
        with self.tally.lock:
            self.tally.troubles[name] += 1

    def start(self, folder: Path, variant: dict) -> Trainer:
        """Start the run or, half of the times with --resume alone, go on with it; now and then with
        a clock that steps, or with nobody who reads what it prints."""
        words = ["--save_dir", folder, "--resume"]
        if not (folder / CONFIG).exists() or self.rng.random() < 0.5:
            settings = {"training.epochs": EPOCHS, **variant}
            words = [*runs.settings_words(self.csv, **settings), *words]
        environment, mute = self.environment, self.rng.random() < 0.1
        if self.rng.random() < 0.2:
            environment = with_stepping_clock(environment, int(self.rng.integers(1 << 30)))
            self.tally.troubles["started with a stepping clock"] += 1
        return Trainer(runs.command(*words), folder, environment, mute=mute)

    def plan(self, state: State) -> str:
        """What the next kill waits for."""
        step, _ = state.position
        if step > STEPS - NEAR_END and self.rng.random() < 0.5:
            return str(self.rng.choice(LAST_KINDS))
        draw = self.rng.random()
        if draw < 0.15:
            return START
        return ANY if draw < 0.6 else str(self.rng.choice(KINDS[:-2]))


def with_stepping_clock(environment: dict[str, str], seed: int) -> dict[str, str]:
    here = str(Path(__file__).with_name("soak_clock"))
    paths = os.pathsep.join(filter(None, [here, environment.get("PYTHONPATH")]))
    return {**environment, "PYTHONPATH": paths, "FERSPORE_SOAK_CLOCK": str(seed)}


def run_lanes(count: int, work: Path, seed: int, tally: Tally) -> None:
    """Give the kills of ``tally`` in ``count`` lanes at a time; the first failure ends them all."""

    def run(lane: Lane) -> None:
        try:
            lane.run()
        except SoakError as error:
            tally.failure = tally.failure or str(error)
        except Exception as error:
            tally.failure = tally.failure or repr(error)
            raise

    lanes = [Lane(number, count, work, seed, tally) for number in range(count)]
    threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
