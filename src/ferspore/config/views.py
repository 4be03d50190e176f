"""A configuration for people: with origins, against another one, as a run's name."""

import re
from pathlib import Path
from typing import Any

from ferspore.config.loading import LoadedConfig
from ferspore.config.paths import dotted, flat
from ferspore.config.schema import Config
from ferspore.config.yaml_text import config_yaml


def format_config(loaded: LoadedConfig) -> str:
    """The configuration as YAML with the origin of each value as a comment at its line's end."""
    lines = config_yaml(loaded.config).splitlines()
    width = max(map(len, lines))
    origins = iter(loaded.origins.values())  # in the order of the lines that have a value
    return "".join(
        f"{line}\n" if line.endswith(":") else f"{line:{width}}  # {next(origins)}\n"
        for line in lines
    )


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """(key path, old value, new value) where two configurations differ.

    Stages are compared key by key, as `stages[0].training.lr`; a key that one has not is None.
    """
    before, after = flat(old.to_dict()), flat(new.to_dict())
    return [
        (dotted(path), before.get(path), after.get(path))
        for path in before | after
        if before.get(path) != after.get(path)
    ]


def without_folders(config: Config) -> Config:
    """The same with its paths as bare names, for what is passed on."""

    def bare(path: str | None) -> str | None:
        return path and Path(path).name

    data = config.data.model_copy(update={"csv": bare(config.data.csv)})
    teachers = tuple(Path(path).name for path in config.training.teachers)
    training = config.training.model_copy(update={"teachers": teachers})
    changes = {"data": data, "training": training, "init_from": bare(config.init_from)}
    return config.model_copy(update=changes)


# The keys that are always told of a run, and how an automatic name shows them.
_NAMED = {
    "model.width": "w{}",
    "model.channels": "c{}",
    "training.batch_size": "b{}",
    "training.lr": "lr{}",
    "seed": "s{}",
}
# Keys, and sections, whose values do not tell one run from another.
_NOT_TELLING = (
    "name",
    "device",
    "data.csv",
    "data.cache",
    "data.workers",
    "training.losses_every",
    "checkpoint.",
    "logging.",
    "stages",
)
_LENGTH = ("training.epochs", "training.patience")


def telling_values(config: Config) -> dict[str, Any]:
    """The values that tell a run from others, by key: some always, all others where they are not
    the default."""
    leaves = {dotted(path): value for path, value in flat(config.to_dict()).items()}
    changed = [key for key, _, _ in differences(Config(), config)]
    shown = [*_NAMED, *(key for key in changed if not key.startswith(_NOT_TELLING))]
    return {key: leaves[key] for key in shown if leaves[key] is not None}


def auto_name(config: Config) -> str:
    """A run's name from the values that define it: `fer_resnet-w32_b128_lr0.1_s1`.

    Every other defining value that is not the default follows, as `_mixup_alpha0.2`. How long the
    run is to be is no part of it, so that a resume with more epochs finds it.
    """
    values = telling_values(config)
    known = [text.format(_short(values[key])) for key, text in _NAMED.items() if key in values]
    others = [
        f"{key.replace('final_phase.', 'final_').rpartition('.')[2]}{_short(value)}"
        for key, value in values.items()
        if key not in _NAMED and key not in _LENGTH
    ]
    return "fer_resnet-" + "_".join([*known, *others])


def _short(value: Any) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else f"{value}"
    return re.sub(r"[^A-Za-z0-9.-]", "", text.removesuffix(".0"))
