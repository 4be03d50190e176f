"""Key paths: a nested configuration as values by path, and a path as text."""

from typing import Any

KeyPath = tuple[str | int, ...]  # with the numbers of stages


def flat(value: Any, path: KeyPath = ()) -> dict[KeyPath, Any]:
    """Every value of `Config.to_dict` by its path, those of the stages too."""
    if isinstance(value, dict):
        items = list(value.items())
    elif path == ("stages",) and value:
        items = list(enumerate(value))
    else:
        return {path: value}
    return {p: v for key, item in items for p, v in flat(item, (*path, key)).items()}


def dotted(path: KeyPath) -> str:
    """("stages", 1, "training", "lr") -> "stages[1].training.lr"."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")
