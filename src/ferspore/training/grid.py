"""The runs of a sweep: every combination of the given values, checked before any is trained."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferspore.config.loading import Override, load_config, parse_set
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences
from ferspore.data.practice import csv_path
from ferspore.files import file_sha256
from ferspore.run.changes import FREE_KEYS
from ferspore.run.folder import read_folder
from ferspore.run.names import CONFIG

# A single run may go on to another length; in a sweep that is another experiment. Other teachers
# are, too: what a finished run learned from is not compared.
NEUTRAL_KEYS = FREE_KEYS - {"training.epochs", "training.patience", "training.teachers"}

Settings = dict[str, Any]  # key path -> one value, in the order of the command line


class SweepError(ValueError):
    """The grid cannot be run; the message says why."""


@dataclass(frozen=True)
class Axis:
    """A key path and its values, one or more."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One point of the grid. ``settings``: the keys that vary; ``words``: train.py's arguments."""

    settings: Settings
    folder: Path
    config: Config
    words: list[str]


def parse_axis(text: str) -> Axis:
    """``training.lr=0.1,0.05`` -> Axis; the values are the items of a YAML list.

    So ``model.blocks=[1,1],[2,2]`` has two values, and ``model.blocks=[1,1]`` has one.

    Raises:
        ConfigError: no key, "=" or value, invalid YAML, or a repeated value.
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
    """``training.lr=0.1_seed=1``; "-" joins the items of a list and replaces unusual characters."""
    return "_".join(f"{key}={_name_of(value)}" for key, value in settings.items()) or "run"


def _name_of(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_name_of, value))
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^A-Za-z0-9.+-]", "-", text)


def plan(
    config_path: str | None,
    data_csv: str | None,
    axes: Sequence[Axis],
    output: Path | None,
    epochs: int | None = None,
) -> tuple[Path, list[Run]]:
    """The sweep's folder (``output``, else checkpoints/<name>-sweep) and its runs, all checked.

    A run's folder is named by the keys that vary; ``epochs`` is the length of every run.

    Raises:
        ConfigError: a point of the grid is not a valid configuration.
        SweepError: there is no CSV, there are stages, or a folder holds another run.
    """
    flags = {"--data_csv": ("data.csv", data_csv), "--epochs": ("training.epochs", epochs)}
    shared = [Override(k, value, flag) for flag, (k, value) in flags.items() if value is not None]
    root = output or Path("checkpoints") / f"{load_config(config_path, shared).config.name}-sweep"
    varying = {axis.key for axis in axes if len(axis.values) > 1}
    runs = []
    for point in grid(axes):
        settings = {key: value for key, value in point.items() if key in varying}
        own = [Override(key, value, "--set") for key, value in point.items()]
        runs.append(_run(config_path, [*shared, *own], settings, root / folder_name(settings)))
    _refuse_unfit(runs)
    return root, runs


def _run(
    config_path: str | None, given: Sequence[Override], settings: Settings, folder: Path
) -> Run:
    config = load_config(config_path, given).config
    words = [] if config_path is None else ["--config", config_path]
    for one in given:
        pair = f"{one.key}={json.dumps(one.value, ensure_ascii=False)}"
        words += [one.source, pair if one.source == "--set" else str(one.value)]
    return Run(settings, folder, config, [*words, "--save_dir", str(folder), "--resume"])


def _refuse_unfit(runs: Sequence[Run]) -> None:
    if runs[0].config.data.csv is None:
        raise SweepError("data.csv: no CSV was given; --data_csv fer2013.csv names one")
    if runs[0].config.stages:
        raise SweepError("stages: received some, expected none: a sweep trains each run in one go")
    folders = [run.folder for run in runs]
    if twice := sorted({str(folder) for folder in folders if folders.count(folder) > 1}):
        raise SweepError(f"two runs would share a folder: {', '.join(twice)}")
    faults = [fault for run in runs for fault in _conflicts(run)]
    if faults := faults + _trained_on_others(runs):
        raise SweepError("\n".join([*faults, "another --output starts a new sweep"]))


def _conflicts(run: Run) -> list[str]:
    """How the run in the folder differs from the one asked for."""
    if not (run.folder / CONFIG).exists():
        return []
    there = load_config(run.folder / CONFIG).config
    return [
        f"{run.folder}: {key}: the run has {json.dumps(old)}, the sweep asks for {json.dumps(new)}"
        for key, old, new in differences(there, run.config)
        if key not in NEUTRAL_KEYS
    ]


def _trained_on_others(runs: Sequence[Run]) -> list[str]:
    """The finished runs that were trained on other faces than those of the CSV that is given: they
    would be counted as they are (any other run refuses the CSV when it is resumed)."""
    sources = {run.config.data.csv for run in runs if run.config.data.csv}
    paths = {source: csv_path(source) for source in sources}
    now = {source: file_sha256(path) for source, path in paths.items() if path.is_file()}
    faults = []
    for run in runs:
        final = read_folder(run.folder).final
        then = final.sidecar.data.get("sha256") if final and final.sidecar else None
        if then is not None and then != now.get(run.config.data.csv or "", then):
            faults.append(
                f"{run.folder}: data.csv: the run was trained on another content than that of "
                f"{run.config.data.csv}"
            )
    return faults
