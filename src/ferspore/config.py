"""YAML files, what they extend and the command line -> one frozen, validated `Config`.

Who wins: command line, file, what it extends (a later base over an earlier one), defaults.
While merging, values are held as leaves, `{("training", "lr"): (0.1, "configs/x.yaml")}`, so that
each of them, and each fault, can tell where it came from.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ferspore.labels import SPLITS


class ConfigError(ValueError):
    """What is wrong with a configuration: every fault that was found, one a line."""


def _folder_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", value) or value in (".", ".."):
        raise ValueError("a folder's name of letters, digits, '.', '_' and '-'")
    return value


# Strict a type, not a model: a strict model would refuse the plain dicts and lists of a file.
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Field(pattern=r"^[^\p{Cc}\u2028\u2029]+$")]
Name = Annotated[str, Strict(), AfterValidator(_folder_name)]
Count = Annotated[Int, Field(ge=0)]
Positive = Annotated[Int, Field(ge=1)]
NonNegative = Annotated[Float, Field(ge=0)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]
Seed = Annotated[Int, Field(ge=0, le=2**32 - 1)]
StageBlocks = Annotated[Int, Field(ge=1, le=8)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Frozen):
    """The faces: a FER2013 CSV (a path, kept as it is given; or "practice"), and how it is read."""

    csv: Text | None = None
    val_usage: Literal[tuple(s for s in SPLITS if s != "Training")] = "PublicTest"
    face_size: Annotated[Int, Field(ge=16, le=48)] = 48  # pixels a side that the net sees
    skip_bad_rows: Bool = False
    cache: Bool = True


class Model(_Frozen):
    """The ResNet: channels of its first stage, residual blocks a stage."""

    width: Annotated[Int, Field(ge=4, le=256)] = 32
    blocks: Annotated[tuple[StageBlocks, ...], Field(min_length=1, max_length=4)] = (1, 1, 1)
    squeeze_excite: Bool = False


class Training(_Frozen):
    """Length, optimizer and regularisation. 0 switches mixup_alpha, ema_decay and patience off."""

    epochs: Positive = 40
    batch_size: Annotated[Int, Field(ge=2)] = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[Float, Field(gt=0)] = 0.1
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 5e-4
    warmup_epochs: NonNegative = 2.0
    label_smoothing: Fraction = 0.1
    mixup_alpha: NonNegative = 0.0
    ema_decay: Fraction = 0.999
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"  # as mindspore.amp.auto_mixed_precision
    patience: Count = 0  # epochs without an improvement
    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"

    @field_validator("momentum")
    @classmethod
    def _beta1_of_adamw(cls, value: float, others: ValidationInfo) -> float:
        if value == 0 and others.data.get("optimizer") == "adamw":
            raise ValueError("a number above 0 with adamw, whose beta1 it is")
        return value


class Augment(_Frozen):
    """Augmentation: shift in pixels, rotation in degrees, erasing as a probability."""

    flip: Bool = True
    shift: Annotated[Float, Field(ge=0, le=24)] = 4.0
    rotation: Annotated[Float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[Float, Field(ge=0, le=0.5)] = 0.0
    erasing: Annotated[Float, Field(ge=0, le=1)] = 0.0


class Checkpoint(_Frozen):
    """Rolling snapshots: how many are kept, steps between them (0: at the ends of epochs only)."""

    keep_checkpoint_max: Positive = 5
    save_checkpoint_steps: Count = 0


class Logging(_Frozen):
    """TensorBoard event files and the progress bar."""

    tensorboard: Bool = False
    progress: Bool = True


class Stage(_Frozen):
    """One stage of a run; in its sections only the keys that were given (fields set) override.

    `==` does not see which keys were given: compare with `differences`.
    """

    name: Name
    init_from: Text | None = None  # an earlier stage or a .ckpt file
    seed: Seed | None = None
    data: Data | None = None
    model: Model | None = None
    training: Training | None = None
    augment: Augment | None = None
    checkpoint: Checkpoint | None = None
    logging: Logging | None = None

    def overrides(self) -> dict[str, Any]:
        """What the stage changes: a plain nested dict of the keys that it names."""
        given = self.model_dump(mode="json", exclude_unset=True, exclude={"name", "init_from"})
        return {key: value for key, value in given.items() if value not in (None, {})}

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a file."""
        source = {} if self.init_from is None else {"init_from": self.init_from}
        return {"name": self.name} | source | self.overrides()


class Config(_Frozen):
    """Every value of a run. Built by `load_config` or `config_from_dict`."""

    name: Name = "fer2013"
    seed: Seed = 1
    device: Literal["CPU", "GPU", "Ascend"] | None = None  # None: the best there is
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()
    augment: Augment = Augment()
    checkpoint: Checkpoint = Checkpoint()
    logging: Logging = Logging()
    stages: tuple[Stage, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dict that JSON and YAML can hold, tuples as lists."""
        tree = self.model_dump(mode="json", exclude={"stages"})
        return tree | {"stages": [stage.to_dict() for stage in self.stages]}


SECTIONS: dict[str, type[_Frozen]] = {
    key: field.annotation
    for key, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Frozen)
}


@dataclass(frozen=True)
class Override:
    """A value of the command line: a dotted key path, and the flag that gave it."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration and, by key path, where each value came from.

    An origin is "default", a file's path or an override's source.
    """

    config: Config
    origins: dict[str, str]


KeyPath = tuple[str, ...]
ValuePath = tuple[str | int, ...]  # with the numbers of stages
Leaves = dict[KeyPath, tuple[Any, str]]  # key path -> (value, origin)


def load_config(path: Path | str | None, overrides: Sequence[Override] = ()) -> LoadedConfig:
    """Read a YAML file (None: the defaults alone), what it extends, and the command line over it.

    An override also wins over the same key inside the stages.

    Raises:
        ConfigError: with every fault of every file and of the overrides.
    """
    faults: list[str] = []
    leaves: Leaves = {} if path is None else _file_leaves(Path(path), (), faults)
    for override in overrides:
        given = _leaves(_plain(override.value), override.source, tuple(override.key.split(".")))
        _merge(leaves, given)
        for leaf in given:
            _drop_from_stages(leaves, leaf)
    config = _validate(leaves, faults)
    return LoadedConfig(config, {_dotted(p): _origin(leaves, p) for p in _flat(config.to_dict())})


def parse_set(text: str) -> Override:
    """`section.key=value` -> Override, the value read by the rules of YAML (1e-3 is a number).

    Raises:
        ConfigError: without a key or "=", or when the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"command line (--set): received {text!r}, expected section.key=value")
    return Override(key.strip(), _parse_yaml(value, f"command line (--set {text})"), "--set")


def config_from_dict(tree: Mapping[str, Any], source: str) -> Config:
    """The Config of a nested dict such as `Config.to_dict` gives; absent keys have their defaults.

    Raises:
        ConfigError: naming `source` in each fault.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"received {_shown(tree)}, expected a mapping of keys [{source}]")
    return _validate(_leaves(_plain(tree), source), [])


def stage_config(config: Config, stage_name: str) -> Config:
    """The configuration of one stage: its overrides merged in, `name` kept, no stages of its own.

    Raises:
        ConfigError: for a name that no stage has.
    """
    for stage in config.stages:
        if stage.name == stage_name:
            tree = config.to_dict() | {"stages": []}
            for key, value in stage.overrides().items():
                tree[key] = tree[key] | value if key in SECTIONS else value
            return config_from_dict(tree, f"stage {stage_name}")
    known = ", ".join(stage.name for stage in config.stages) or "none, the run has no stages"
    raise ConfigError(f"unknown stage {stage_name!r}, expected one of: {known}")


def config_yaml(config: Config) -> str:
    """The configuration as YAML; `load_config` reads it back as the same Config."""
    return yaml.dump(
        config.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )


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
    before, after = _flat(old.to_dict()), _flat(new.to_dict())
    return [
        (_dotted(path), before.get(path), after.get(path))
        for path in before | after
        if before.get(path) != after.get(path)
    ]


# The configuration's keys that an automatic name always shows, and those that do not define a run.
_NAMED = {
    "model.width": "fer_resnet-w{}",
    "training.batch_size": "b{}",
    "training.lr": "lr{}",
    "training.epochs": "e{}",
    "seed": "s{}",
}
_UNNAMED = ("name", "device", "data.csv", "data.cache", "checkpoint.", "logging.", "stages")


def auto_name(config: Config) -> str:
    """A run's name from the values that define it: `fer_resnet-w32_b128_lr0.1_e50_s1`.

    Every other defining value that is not the default follows, as `_mixup_alpha0.2`.
    """
    leaves = {_dotted(path): value for path, value in _flat(config.to_dict()).items()}
    name = "_".join(text.format(_short(leaves[key])) for key, text in _NAMED.items())
    for key, _, value in differences(Config(), config):
        if key not in _NAMED and not key.startswith(_UNNAMED):
            name += f"_{key.rpartition('.')[2]}{_short(value)}"
    return name


def _short(value: Any) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else f"{value}"
    return re.sub(r"[^A-Za-z0-9.-]", "", text.removesuffix(".0"))


# YAML 1.1, which PyYAML reads, asks for 1.0e-3 and takes 1e-3 for text.
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice in one mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node


class _Dumper(yaml.SafeDumper):
    def represent_list(self, data):
        flow = not any(isinstance(item, dict) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _Dumper.represent_list)
for _class in (_Loader, _Dumper):  # the dumper too: a name such as 1e5 must be written in quotes
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def _parse_yaml(text: str | bytes, origin: str) -> Any:
    """The plain value of a YAML text. Raises ConfigError in one line, with line and column."""
    try:
        return _plain(yaml.load(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{origin}{where}: {error.problem}; expected YAML") from None
    except RecursionError:
        raise ConfigError(f"{origin}: nested too deeply, or contains itself") from None
    except (yaml.YAMLError, ValueError) as error:  # bytes that are no text; a 13th month
        problem = " ".join(str(error).split())
        raise ConfigError(f"{origin}: {problem}; expected YAML") from None


def _plain(value: Any) -> Any:
    """A copy with keys as text and tuples as lists; RecursionError if it contains itself."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _file_leaves(path: Path, chain: tuple[Path, ...], faults: list[str]) -> Leaves:
    """The leaves of a file over those of its bases; `chain` is the files that led to it."""
    by = f" [extended by {chain[-1]}]" if chain else ""
    try:
        if any(path.samefile(previous) for previous in chain):
            faults.append(f"extends: a cycle, {' -> '.join(map(str, (*chain, path)))}")
            return {}
        tree = _parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        faults.append(f"{path}: {error.strerror}, expected a YAML file{by}")
        return {}
    except ConfigError as error:
        faults.append(f"{error}{by}")
        return {}
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        faults.append(f"{path}: received {_shown(tree)}, expected a mapping of keys{by}")
        return {}
    leaves: Leaves = {}
    bases = tree.pop("extends", [])
    for base in bases if isinstance(bases, list) else [bases]:
        if isinstance(base, str):
            _merge(leaves, _file_leaves(path.parent / base, (*chain, path), faults))
        else:
            expected = "the name of a file, or a list of names"
            faults.append(f"extends: received {_shown(base)}, expected {expected} [{path}]")
    _merge(leaves, _leaves(tree, str(path)))
    return leaves


def _leaves(value: Any, origin: str, path: KeyPath = ()) -> Leaves:
    if value in (None, {}) and (not path or (len(path) == 1 and path[0] in SECTIONS)):
        return {}  # a section whose keys are all commented out says nothing
    if not isinstance(value, dict) or not value:
        return {path: (value, origin)}
    leaves: Leaves = {}
    for key, item in value.items():
        leaves |= _leaves(item, origin, (*path, key))
    return leaves


def _merge(leaves: Leaves, winning: Leaves) -> None:
    """Put leaves over others, in place; a value and a mapping at one key replace each other."""
    for path, found in winning.items():
        for other in [k for k in leaves if k[: len(path)] == path or path[: len(k)] == k]:
            del leaves[other]
        leaves[path] = found


def _drop_from_stages(leaves: Leaves, path: KeyPath) -> None:
    """Take a key of the command line out of the stages, for it wins over what they say as well."""
    stages, _ = leaves.get(("stages",), ([], ""))
    if path[0] not in SECTIONS and path != ("seed",):
        return
    for stage in stages if isinstance(stages, list) else []:
        for key in path[:-1]:
            stage = stage.get(key) if isinstance(stage, dict) else None
        if isinstance(stage, dict):
            stage.pop(path[-1], None)


def _flat(value: Any, path: ValuePath = ()) -> dict[ValuePath, Any]:
    """Every value of `Config.to_dict` by its path, those of the stages too."""
    if isinstance(value, dict):
        items = list(value.items())
    elif path == ("stages",) and value:
        items = list(enumerate(value))
    else:
        return {path: value}
    return {p: v for key, item in items for p, v in _flat(item, (*path, key)).items()}


def _dotted(path: ValuePath) -> str:
    """("stages", 1, "training", "lr") -> "stages[1].training.lr"."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def _validate(leaves: Leaves, faults: list[str]) -> Config:
    """The Config of all leaves. Raises ConfigError with the earlier faults and its own."""
    tree: dict[str, Any] = {}
    for path, (value, _) in leaves.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    found = _stage_faults(tree.get("stages"))
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        found = [(fault["loc"], _fault_text(fault)) for fault in error.errors()] + found
    for path, text in found:
        origin = _origin(leaves, path)
        shown = f"command line ({origin})" if origin.startswith("--") else origin
        faults.append(f"{_dotted(path)}: {text} [{shown}]")
    if faults:
        raise ConfigError("\n".join(faults))
    return config


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
    "greater_than_equal": "a number from {ge} on",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "value_error": "{error}",
}


def _fault_text(fault: Mapping[str, Any]) -> str:
    """What was received and what is expected, for one of pydantic's errors."""
    if fault["type"] == "extra_forbidden":
        return f"unknown key, received {_shown(fault['input'])}; {_known_keys(fault['loc'])}"
    if fault["type"] == "missing":
        return "missing, expected a value"
    expected = fault["msg"]
    if fault["type"] in _EXPECTED:
        expected = _EXPECTED[fault["type"]].format(**fault.get("ctx", {}))
    return f"received {_shown(fault['input'])}, expected {expected}"


def _known_keys(path: ValuePath) -> str:
    """The nearest known key to an unknown one, else all that may stand in its place."""
    root, inner = (Stage, path[2:]) if path[0] == "stages" else (Config, path)
    known = list((SECTIONS[inner[0]] if len(inner) == 2 else root).model_fields)
    elsewhere = {k: f"{name}.{k}" for name, model in SECTIONS.items() for k in model.model_fields}
    if near := difflib.get_close_matches(path[-1], known, n=1):
        return f"did you mean {_dotted((*path[:-1], near[0]))}?"
    if near := difflib.get_close_matches(path[-1], elsewhere, n=1, cutoff=0.75):
        return f"did you mean {elsewhere[near[0]]}?"
    return f"expected one of {', '.join(known)}"


def _stage_faults(stages: Any) -> list[tuple[ValuePath, str]]:
    """Names given twice, and `init_from` that is neither an earlier stage nor a checkpoint."""
    found: list[tuple[ValuePath, str]] = []
    earlier: list[str] = []
    for i, stage in enumerate(stages if isinstance(stages, list) else []):
        name, source = map(stage.get, ("name", "init_from")) if isinstance(stage, dict) else (0, 0)
        if isinstance(source, str) and source not in earlier and not source.endswith(".ckpt"):
            known = f"an earlier stage ({', '.join(earlier) or 'there is none'}) or a .ckpt file"
            text = f"received {_shown(source)}, expected {known}"
            found.append((("stages", i, "init_from"), text))
        if name in earlier:
            text = f"received {_shown(name)}, expected a name that no earlier stage has"
            found.append((("stages", i, "name"), text))
        if isinstance(name, str):
            earlier.append(name)
    return found


def _origin(leaves: Leaves, path: ValuePath) -> str:
    """Where a key came from: its leaf, the leaf that contains it, or one that it contains."""
    for leaf, (_, origin) in leaves.items():
        if all(a == b for a, b in zip(leaf, path, strict=False)):
            return origin
    return "default"


def _shown(value: Any) -> str:
    """A received value as a file would spell it, on one short line."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if not text.isprintable():  # a line separator would break the line
        text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."
