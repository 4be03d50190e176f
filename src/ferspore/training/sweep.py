"""A grid of runs one after another, each a process and a folder of its own; spread over seeds.

A grid only, no search library: a handful of runs an axis is what a CPU affords, and a search over
so few points would need more code to resume than the grid and tell less about the spread.
"""

import itertools
import json
import re
import signal
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferspore import runtime
from ferspore.config.loading import Override, load_config, parse_set
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences
from ferspore.files import write_file
from ferspore.run.changes import FREE_KEYS
from ferspore.run.ckpt import UnsoundError
from ferspore.run.listing import no_epoch_left
from ferspore.run.names import CONFIG, FINAL
from ferspore.run.sidecar import ModelSidecar, read_sidecar
from ferspore.tables import accuracy_text, aligned

SWEEP = "sweep.json"
SEED = "seed"
# Another length is another experiment, although a single run may go on with it.
NEUTRAL_KEYS = FREE_KEYS - {"training.epochs", "training.patience"}
DONE, FAILED = 0, 1

Say = Callable[[str], None]
Settings = dict[str, Any]  # key path -> one value, in the order of the command line


class SweepError(ValueError):
    """The grid that was asked for cannot be run; the message says why."""


@dataclass(frozen=True)
class Axis:
    """A key path and the values that it takes, one or more."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One point of the grid. ``words`` are train.py's arguments for it."""

    settings: Settings
    folder: Path
    config: Config
    words: list[str]


@dataclass(frozen=True)
class Outcome:
    """What became of a run. state: finished, failed (``exit_code`` tells how), stopped, waiting."""

    run: Run
    state: str
    exit_code: int | None = None
    best_accuracy: float | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Spread:
    """Best accuracies of the finished runs that differ in nothing but their seed.

    deviation: the sample's (n - 1 in the denominator), None of fewer than two.
    """

    settings: Settings
    n: int
    mean: float | None
    deviation: float | None
    smallest: float | None
    largest: float | None


# --- the grid -----------------------------------------------------------------------------------


def parse_axis(text: str) -> Axis:
    """``training.lr=0.1,0.05`` -> Axis; the values are the items of a YAML list.

    So ``model.blocks=[1,1],[2,2]`` has two values, and ``model.blocks=[1,1]`` has one.

    Raises:
        ConfigError: without a key, "=" or value, no YAML, or a value stands twice.
    """
    key, equals, values = text.partition("=")
    override = parse_set(f"{key}{equals}[{values}]" if equals else text)
    if not override.value:
        raise ConfigError(f"command line (--set): received {text!r}, expected a value after '='")
    for i, value in enumerate(override.value):
        if value in override.value[:i]:
            raise ConfigError(f"command line (--set): {text!r} has {json.dumps(value)} twice")
    return Axis(override.key, tuple(override.value))


def grid(axes: Sequence[Axis]) -> list[Settings]:
    """Every combination; the last axis changes fastest.

    Raises:
        ConfigError: a key was given twice.
    """
    keys = [axis.key for axis in axes]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ConfigError(f"command line (--set): {', '.join(sorted(twice))} was given twice")
    values = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(keys, point, strict=True)) for point in values]


def folder_name(settings: Settings) -> str:
    """``training.lr=0.1_seed=1``; lists are joined by "-", which replaces unusual signs, too."""
    if not settings:
        return "run"
    return "_".join(f"{key}={_name_of(value)}" for key, value in settings.items())


def _name_of(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_name_of, value))
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^A-Za-z0-9.+-]", "-", text)


def plan(
    config_path: str | None, data_csv: str | None, axes: Sequence[Axis], output: Path | None
) -> tuple[Path, list[Run]]:
    """The sweep's folder (``output``, else checkpoints/<name>-sweep) and its runs, all checked.

    Raises:
        ConfigError: a point of the grid is no valid configuration.
        SweepError: no CSV was named, there are stages, or a folder holds another run.
    """
    base = [] if data_csv is None else [Override("data.csv", data_csv, "--data_csv")]
    name = load_config(config_path, base).config.name
    root = Path("checkpoints") / f"{name}-sweep" if output is None else output
    runs = [_run(config_path, data_csv, base, settings, root) for settings in grid(axes)]
    if runs[0].config.data.csv is None:
        raise SweepError("data.csv: no CSV was given; --data_csv fer2013.csv names one")
    if runs[0].config.stages:
        raise SweepError("stages: received some, expected none: a sweep trains each run in one go")
    folders = [run.folder for run in runs]
    if twice := sorted({str(folder) for folder in folders if folders.count(folder) > 1}):
        raise SweepError(f"two runs would share a folder: {', '.join(twice)}")
    if faults := [fault for run in runs for fault in _conflicts(run)]:
        raise SweepError("\n".join([*faults, "another --output starts a new sweep"]))
    return root, runs


def _run(
    config_path: str | None,
    data_csv: str | None,
    base: list[Override],
    settings: Settings,
    root: Path,
) -> Run:
    given = [Override(key, value, "--set") for key, value in settings.items()]
    config = load_config(config_path, [*base, *given]).config
    folder = root / folder_name(settings)
    words = [] if config_path is None else ["--config", str(config_path)]
    words += [] if data_csv is None else ["--data_csv", data_csv]
    for key, value in settings.items():
        words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    return Run(settings, folder, config, [*words, "--save_dir", str(folder), "--resume"])


def _conflicts(run: Run) -> list[str]:
    """Where the run that is in the folder is not the one asked for."""
    if not (run.folder / CONFIG).exists():
        return []
    there = load_config(run.folder / CONFIG).config
    return [
        f"{run.folder}: {key}: the run has {json.dumps(old)}, the sweep asks for {json.dumps(new)}"
        for key, old, new in differences(there, run.config)
        if key not in NEUTRAL_KEYS
    ]


# --- running ------------------------------------------------------------------------------------


class Interruption:
    """Context manager: SIGINT and SIGTERM go to the run at work, which saves and ends.

    The run is in a process group of its own: from the terminal it would otherwise get Ctrl-C
    twice, and the second ends it at once.
    """

    SIGNALS = runtime.StopSignals.SIGNALS

    def __init__(self):
        self.received: int | None = None
        self._child: subprocess.Popen | None = None

    def __enter__(self) -> "Interruption":
        self._previous = {number: signal.signal(number, self._pass_on) for number in self.SIGNALS}
        return self

    def _pass_on(self, number: int, _frame) -> None:
        self.received = number
        if self._child is not None:
            self._child.send_signal(number)

    def call(self, command: Sequence[str]) -> int:
        """Run ``command`` to its end; returns its exit code, negative for a signal's number."""
        with subprocess.Popen(command, process_group=0) as child:
            self._child = child
            if self.received is not None:  # it came while the process was being started
                child.send_signal(self.received)
            code = child.wait()
            self._child = None
        return code

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def run_all(root: Path, runs: Sequence[Run], trainer: Sequence[str], again: str, say: Say) -> int:
    """Train what is not finished, in order, and print the spread; returns the exit code.

    ``trainer`` is the command of train.py, ``again`` the one that goes on with the sweep. After
    every run the outcomes so far stand in ``root``/sweep.json.

    Raises:
        OSError: the record cannot be written, or no process be started.
    """
    root.mkdir(parents=True, exist_ok=True)
    outcomes = [Outcome(run, "waiting") for run in runs]
    with Interruption() as interruption:
        for i, run in enumerate(runs):
            if interruption.received is not None:
                break
            outcomes[i] = _settle(run, f"[{i + 1}/{len(runs)}]", trainer, interruption, say)
            write_file(root / SWEEP, (json.dumps(to_dict(outcomes), indent=1) + "\n").encode())
    say("")
    say(format_spreads(spreads(outcomes)))
    for outcome in outcomes:
        if outcome.state == "failed":
            say(f"failed with exit code {outcome.exit_code}: {outcome.run.folder}")
    if interruption.received is not None:
        done = sum(outcome.state == "finished" for outcome in outcomes)
        name = signal.Signals(interruption.received).name
        say(f"stopped by {name}, {done} of {len(runs)} runs are finished; to go on: {again}")
        return 128 + interruption.received
    return FAILED if any(outcome.state == "failed" for outcome in outcomes) else DONE


def _settle(
    run: Run, count: str, trainer: Sequence[str], interruption: Interruption, say: Say
) -> Outcome:
    """Pass over the run if it is finished, else train it to its end or to a stop."""
    if final := finished(run):
        say(f"{count} {run.folder}: finished, best accuracy {accuracy_text(final.best_accuracy)}")
        return _finished(run, final)
    say(f"{count} {run.folder}")
    code = interruption.call([*trainer, *run.words])
    if interruption.received is not None and code != 0:
        return Outcome(run, "stopped", code)
    final = finished(run)
    if code != 0 or final is None:
        say(f"{count} {run.folder}: failed with exit code {code}")
        return Outcome(run, "failed", code)
    return _finished(run, final)


def _finished(run: Run, final: ModelSidecar) -> Outcome:
    return Outcome(run, "finished", 0, final.best_accuracy, final.best_epoch)


def finished(run: Run) -> ModelSidecar | None:
    """The final model's sidecar, where it says that no epoch of the run is left."""
    try:
        final = read_sidecar(run.folder / FINAL)
    except UnsoundError:
        return None
    return final if isinstance(final, ModelSidecar) and no_epoch_left(final, run.config) else None


# --- telling ------------------------------------------------------------------------------------


def spreads(outcomes: Sequence[Outcome]) -> list[Spread]:
    """One for every setting beside the seed, in the grid's order."""
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
    """An aligned table, a setting a line."""
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


def to_dict(outcomes: Sequence[Outcome]) -> Mapping[str, Any]:
    """What stands in sweep.json."""
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
        "spread": [vars(spread) for spread in spreads(outcomes)],
    }
