"""What is wrong with a value of a configuration, in words."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from ferspore.config.paths import KeyPath, dotted
from ferspore.config.schema import MAX_STAGES, SECTIONS, Config, Stage
from ferspore.tables import one_line

_EXPECTED = {  # by pydantic's type of error, with its context
    "model_type": "a mapping of keys",
    "tuple_type": "a list",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (in quotes, where it looks like a number, a date or yes/no)",
    "string_pattern_mismatch": "one line of text, not empty, without control characters",
    "literal_error": "one of {expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "value_error": "{error}",
}


def fault_text(fault: Mapping[str, Any]) -> str:
    """What was received and what is expected, for one of pydantic's errors."""
    if fault["type"] == "extra_forbidden":
        return f"unknown key, received {shown(fault['input'])}; {_known_keys(fault['loc'])}"
    if fault["type"] == "missing":
        return "missing, expected a value"
    expected = fault["msg"]
    if fault["type"] in _EXPECTED:
        expected = _EXPECTED[fault["type"]].format(**fault.get("ctx", {}))
    return f"received {shown(fault['input'])}, expected {expected}"


def _known_keys(path: KeyPath) -> str:
    """The nearest known key to an unknown one, else all that may stand in its place."""
    keys = [str(key) for key in path]
    root, inner = (Stage, keys[2:]) if keys[0] == "stages" else (Config, keys)
    known = list((SECTIONS[inner[0]] if len(inner) == 2 else root).model_fields)
    elsewhere = {k: f"{name}.{k}" for name, model in SECTIONS.items() for k in model.model_fields}
    if near := difflib.get_close_matches(keys[-1], known, n=1):
        return f"did you mean {one_line(dotted((*path[:-1], near[0])))}?"
    if near := difflib.get_close_matches(keys[-1], elsewhere, n=1, cutoff=0.75):
        return f"did you mean {elsewhere[near[0]]}?"
    return f"expected one of {', '.join(known)}"


def stage_faults(stages: Any) -> list[tuple[KeyPath, str]]:
    """Names given twice, and `init_from` that is neither an earlier stage nor a checkpoint."""
    found: list[tuple[KeyPath, str]] = []
    earlier: list[str] = []
    for i, stage in enumerate(stages[:MAX_STAGES] if isinstance(stages, list) else []):
        name, source = map(stage.get, ("name", "init_from")) if isinstance(stage, dict) else (0, 0)
        if isinstance(source, str) and source not in earlier and not source.endswith(".ckpt"):
            names = one_line(", ".join(earlier)) or "there is none"
            known = f"an earlier stage ({names}) or a .ckpt file"
            text = f"received {shown(source)}, expected {known}"
            found.append((("stages", i, "init_from"), text))
        if name in earlier:
            text = f"received {shown(name)}, expected a name that no earlier stage has"
            found.append((("stages", i, "name"), text))
        if isinstance(name, str):
            earlier.append(name)
    return found


def final_phase_faults(config: Config) -> list[tuple[KeyPath, str]]:
    """A final phase that is longer than the run."""
    received, longest = config.final_phase.epochs, config.training.epochs
    if received <= longest:
        return []
    text = f"received {received}, expected a number up to training.epochs, which is {longest}"
    return [(("final_phase", "epochs"), text)]


def shown(value: Any) -> str:
    """A received value as a file would spell it, on one short line."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if not text.isprintable():  # a line separator would break the line
        text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."
