"""A configuration for people: with origins, against another one, as a run's name."""

import re
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


# The keys that an automatic name always shows.
_NAMED = {
    "model.width": "w{}",
    "model.channels": "c{}",
    "training.batch_size": "b{}",
    "training.lr": "lr{}",
    "training.epochs": "e{}",
    "seed": "s{}",
}
# Keys, and sections, whose values do not tell one run from another.
NOT_DEFINING = ("name", "device", "data.csv", "data.cache", "checkpoint.", "logging.", "stages")


def auto_name(config: Config) -> str:
    """A run's name from the values that define it: `fer_resnet-w32_b128_lr0.1_e50_s1`.

    Every other defining value that is not the default follows, as `_mixup_alpha0.2`.
    """
    leaves = {dotted(path): value for path, value in flat(config.to_dict()).items()}
    named = {key: text for key, text in _NAMED.items() if leaves[key] is not None}
    name = "fer_resnet-" + "_".join(text.format(_short(leaves[key])) for key, text in named.items())
    for key, _, value in differences(Config(), config):
        if key not in _NAMED and not key.startswith(NOT_DEFINING):
            label = key.replace("final_phase.", "final_").rpartition(".")[2]
            name += f"_{label}{_short(value)}"
    return name


def _short(value: Any) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else f"{value}"
    return re.sub(r"[^A-Za-z0-9.-]", "", text.removesuffix(".0"))
