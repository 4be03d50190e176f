"""A grid of runs one after another, each a process of its own; mean and spread over the seeds.

A grid only, no search library: a CPU affords a handful of runs per axis, and a search over so few
points would need more code to resume than the grid and say less about the spread.
"""

import json
import signal
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ferspore import runtime
from ferspore.files import write_file
from ferspore.run.folder import checked, read_folder
from ferspore.run.names import SWEEP
from ferspore.run.standing import standing
from ferspore.tables import Say, accuracy_text, aligned, counted
from ferspore.training.grid import Run, Settings

SEED = "seed"
DONE, FAILED = 0, 1


@dataclass(frozen=True)
class Outcome:
    """What became of a run. state: finished, failed (see ``exit_code``), stopped or waiting."""

    run: Run
    state: str
    exit_code: int | None = None
    best_accuracy: float | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Spread:
    """Best accuracies of the finished runs that differ only in their seed.

    deviation: of the sample (n - 1 in the denominator), None for fewer than two.
    """

    settings: Settings
    n: int
    mean: float | None
    deviation: float | None
    smallest: float | None
    largest: float | None


# --- running ------------------------------------------------------------------------------------


class Interruption:
    """Context manager: a signal to stop is passed on to the running child, which saves and ends.

    The child has a process group of its own: otherwise Ctrl-C in the terminal would reach it
    twice, and a second signal ends it at once.
    """

    SIGNALS = runtime.StopSignals.SIGNALS

    def __init__(self):
        self.received: int | None = None
        self._child: subprocess.Popen | None = None

    def __enter__(self) -> "Interruption":
        heeded = [n for n in self.SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._pass_on) for number in heeded}
        return self

    def _pass_on(self, number: int, _frame) -> None:
        self.received = number
        if self._child is not None:
            self._child.send_signal(number)

    def call(self, command: Sequence[str]) -> int:
        """Run ``command`` to its end; returns its exit code, or minus the signal that killed it."""
        with subprocess.Popen(command, process_group=0) as child:
            self._child = child
            if self.received is not None:  # while the process was being started
                child.send_signal(self.received)
            code = child.wait()
            self._child = None
        return code

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def run_all(root: Path, runs: Sequence[Run], trainer: Sequence[str], again: str, say: Say) -> int:
    """Train what is not finished, in order, and print the spread; returns the exit code.

    ``trainer`` is the command of train.py, ``again`` the one that continues the sweep. The
    outcomes so far are in ``root``/sweep.json after every run.

    Raises:
        OSError: the record cannot be written, or no process started.
    """
    root.mkdir(parents=True, exist_ok=True)
    with Interruption() as interruption:
        outcomes = [finished(run) or Outcome(run, "waiting") for run in runs]
        for i, known in enumerate(outcomes):
            if interruption.received is not None:
                break
            outcomes[i] = _settle(known, f"[{i + 1}/{len(runs)}]", trainer, interruption, say)
            write_file(root / SWEEP, (json.dumps(to_dict(outcomes), indent=1) + "\n").encode())
    say(f"\naccuracy on {runs[0].config.data.val_usage}, which also selected each run's best epoch")
    say(format_spreads(spreads(outcomes)))
    for outcome in outcomes:
        if outcome.state == "failed":
            say(f"failed with exit code {outcome.exit_code}: {outcome.run.folder}")
    if interruption.received is not None:
        done = sum(outcome.state == "finished" for outcome in outcomes)
        stopped = runtime.stop_text(interruption.received)
        say(f"{stopped}; {done} of {counted(len(runs), 'run')} finished. To continue: {again}")
        return 128 + interruption.received
    return FAILED if any(outcome.state == "failed" for outcome in outcomes) else DONE


def _settle(
    known: Outcome, count: str, trainer: Sequence[str], interruption: Interruption, say: Say
) -> Outcome:
    """Skip the run if it is finished, else train it to its end or to a stop."""
    run = known.run
    if known.state == "finished":
        say(f"{count} {run.folder}: finished, best accuracy {accuracy_text(known.best_accuracy)}")
        return known
    say(f"{count} {run.folder}")
    code = interruption.call([*trainer, *run.words])
    if interruption.received is not None and code != 0:
        return Outcome(run, "stopped", code)
    if code == 0 and (done := finished(run)):
        return done
    say(f"{count} {run.folder}: failed with exit code {code}")
    return Outcome(run, "failed", code)


def finished(run: Run) -> Outcome | None:
    """The outcome of a run with no epoch left; None for any other."""
    holdings = checked(read_folder(run.folder))
    final = holdings.final.sidecar if holdings.final is not None else None
    if standing(holdings) != "finished" or final is None:
        return None
    return Outcome(run, "finished", 0, final.best_accuracy, final.best_epoch)


# --- results ------------------------------------------------------------------------------------


def spreads(outcomes: Sequence[Outcome]) -> list[Spread]:
    """One per combination of the settings other than the seed, in the grid's order."""
    groups: dict[str, tuple[Settings, list[float]]] = {}
    for outcome in outcomes:
        others = {key: value for key, value in outcome.run.settings.items() if key != SEED}
        _, found = groups.setdefault(json.dumps(others), (others, []))
        if outcome.state == "finished" and outcome.best_accuracy is not None:
            found.append(outcome.best_accuracy)
    return [_spread(settings, found) for settings, found in groups.values()]


def _spread(settings: Settings, accuracies: list[float]) -> Spread:
    return Spread(
        settings=settings,
        n=len(accuracies),
        mean=statistics.fmean(accuracies) if accuracies else None,
        deviation=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        smallest=min(accuracies, default=None),
        largest=max(accuracies, default=None),
    )


def format_spreads(found: Sequence[Spread]) -> str:
    """An aligned table, one line per combination."""
    keys = list(found[0].settings)
    header = [*keys, "n", "mean best accuracy", "sample deviation", "min", "max"]
    rows = [
        [
            *(json.dumps(value, ensure_ascii=False) for value in spread.settings.values()),
            str(spread.n),
            *map(accuracy_text, (spread.mean, spread.deviation, spread.smallest, spread.largest)),
        ]
        for spread in found
    ]
    return aligned([header, *rows], left=len(keys))


def to_dict(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The content of sweep.json."""
    return {
        "runs": [
            {
                "settings": outcome.run.settings,
                "folder": str(outcome.run.folder),
                "state": outcome.state,
                "exit_code": outcome.exit_code,
                "best_accuracy": outcome.best_accuracy,
                "best_epoch": outcome.best_epoch,
            }
            for outcome in outcomes
        ],
        "spread": [asdict(spread) for spread in spreads(outcomes)],
    }
