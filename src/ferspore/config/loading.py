"""YAML files, what they extend and the command line -> `LoadedConfig`.

Who wins: command line, file, what it extends (a later base over an earlier one), defaults.
While merging, values are held as leaves, `{("training", "lr"): (0.1, "configs/x.yaml")}`, so that
each of them, and each fault, can tell where it came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ferspore.config.faults import fault_text, final_phase_faults, shown, stage_faults
from ferspore.config.paths import KeyPath, dotted, flat
from ferspore.config.schema import SECTIONS, Config, ConfigError
from ferspore.config.yaml_text import parse_yaml, plain
from ferspore.tables import counted, one_line


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


MAX_FILES, MAX_FILE_BYTES = 100, 1 << 20  # of a configuration and what it extends
MAX_KEYS = 300  # of a file; merging takes the square of it
MAX_FAULTS = 20  # that are told
LONGEST_PATH = 1000
DEFAULT, RUN = "default", "the run"  # origins beside a file's path and a flag
Leaves = dict[KeyPath, tuple[Any, str]]  # key path -> (value, origin)
# Two ways to say one thing: the one that is given last takes the other's place.
_EITHER: dict[KeyPath, KeyPath] = {
    ("model", "width"): ("model", "channels"),
    ("model", "channels"): ("model", "width"),
}


def load_config(path: Path | str | None, overrides: Sequence[Override] = ()) -> LoadedConfig:
    """Read a YAML file (None: the defaults alone), what it extends, and the command line over it.

    An override also wins over the same key inside the stages.

    Raises:
        ConfigError: with every fault of every file and of the overrides.
    """
    faults: list[str] = []
    leaves: Leaves = {} if path is None else _file_leaves(Path(path), (), [], faults)
    for override in overrides:
        given = _leaves(plain(override.value), override.source, tuple(override.key.split(".")))
        _merge(leaves, given)
        for leaf in given:
            _drop_from_stages(leaves, leaf)
    return _loaded(leaves, faults)


def _loaded(leaves: Leaves, faults: list[str]) -> LoadedConfig:
    config = _validate(leaves, faults)
    return LoadedConfig(config, {dotted(p): _origin(leaves, p) for p in flat(config.to_dict())})


def over(base: Config, given: LoadedConfig) -> LoadedConfig:
    """What ``given`` says, over the configuration of a run that exists.

    Only values with an origin (a file, a flag) win; those of the run have the origin RUN. A null
    ``data.csv``, as configs/default.yaml has it, is none: the run keeps its CSV. Stages
    that ``given`` names replace the run's; without, a value of the command line wins over the
    same key inside the run's stages.

    Raises:
        ConfigError: together they are no configuration.
    """
    leaves = _leaves(plain(base.to_dict()), RUN)
    tree = plain(given.config.to_dict())
    for path, value in flat({**tree, "stages": []}).items():
        origin = given.origins.get(dotted(path), DEFAULT)
        if origin != DEFAULT and path != ("stages",) and (path, value) != (("data", "csv"), None):
            _merge(leaves, {path: (value, origin)})
            if not given.config.stages:
                _drop_from_stages(leaves, path)
    if given.config.stages:
        origins = [origin for key, origin in given.origins.items() if key.startswith("stages")]
        leaves["stages",] = (tree["stages"], origins[0])
    return _loaded(leaves, [])


def parse_set(text: str) -> Override:
    """`section.key=value` -> Override, the value read by the rules of YAML (1e-3 is a number).

    Raises:
        ConfigError: without a key or "=", or when the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"command line (--set): received {text!r}, expected section.key=value")
    return Override(key.strip(), parse_yaml(value, f"command line (--set {text})"), "--set")


def config_from_dict(tree: Mapping[str, Any], source: str) -> Config:
    """The Config of a nested dict such as `Config.to_dict` gives; absent keys have their defaults.

    Raises:
        ConfigError: naming `source` in each fault.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"received {shown(tree)}, expected a mapping of keys [{source}]")
    return _validate(_leaves(plain(tree), source), [])


def stage_config(config: Config, stage_name: str) -> Config:
    """The configuration of one stage: its overrides merged in, `name` kept, no stages of its own.

    The run's `init_from` is for its first stage.

    Raises:
        ConfigError: for a name that no stage has, or two answers to what the first starts from.
    """
    for number, stage in enumerate(config.stages):
        if stage.name != stage_name:
            continue
        init_from = stage.init_from
        if number == 0 and config.init_from is not None:
            if init_from is not None:
                raise ConfigError(
                    f"init_from: received {config.init_from}, but stage {stage.name} starts from "
                    f"{init_from}; give one of them"
                )
            init_from = config.init_from
        source = f"stage {stage_name}"
        leaves = _leaves(config.to_dict() | {"stages": [], "init_from": init_from}, source)
        _merge(leaves, _leaves(stage.overrides(), source))
        return _validate(leaves, [])
    known = ", ".join(stage.name for stage in config.stages) or "none, the run has no stages"
    raise ConfigError(f"unknown stage {stage_name!r}, expected one of: {known}")


def stage_view(given: LoadedConfig, stage_name: str, first: str) -> LoadedConfig:
    """What was given, as one stage sees it. Without stages in it, it is for every stage, except
    for ``init_from``, which is for the ``first``.

    Raises:
        ConfigError: see ``stage_config``.
    """
    if not given.config.stages:
        if stage_name == first:
            return given
        origins = given.origins | {"init_from": DEFAULT}
        return LoadedConfig(given.config.model_copy(update={"init_from": None}), origins)
    names = [stage.name for stage in given.config.stages]
    config = stage_config(given.config, stage_name)
    prefix = f"stages[{names.index(stage_name)}]."
    own = {key.removeprefix(prefix): origin for key, origin in given.origins.items()}
    return LoadedConfig(config, {k: o for k, o in own.items() if not k.startswith("stages")})


def _file_leaves(
    path: Path, chain: tuple[Path, ...], read: list[Path], faults: list[str]
) -> Leaves:
    """The leaves of a file over those of its bases; `chain` is the files that led to it, `read`
    collects all that were read, a base that two files share each time."""
    by = f" [extended by {chain[-1]}]" if chain else ""
    try:
        if any(path.samefile(previous) for previous in chain):
            faults.append(f"extends: a cycle, {' -> '.join(map(str, (*chain, path)))}")
            return {}
        tree = parse_yaml(_content(path), str(path))
    except OSError as error:
        faults.append(f"{path}: {error.strerror}, expected a YAML file{by}")
        return {}
    except ConfigError as error:
        faults.append(f"{error}{by}")
        return {}
    read.append(path)
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        faults.append(f"{path}: received {shown(tree)}, expected a mapping of keys{by}")
        return {}
    leaves: Leaves = {}
    bases = tree.pop("extends", [])
    for base in bases if isinstance(bases, list) else [bases]:
        if len(read) > MAX_FILES:
            faults.append(f"extends: more than {MAX_FILES} files [{path}]")
            break
        if isinstance(base, str) and base.isprintable() and len(base) <= LONGEST_PATH:
            _merge(leaves, _file_leaves(path.parent / base, (*chain, path), read, faults))
        else:
            expected = "the name of a file, or a list of names"
            faults.append(f"extends: received {shown(base)}, expected {expected} [{path}]")
    _merge(leaves, _leaves(tree, str(path)))
    return leaves


def _content(path: Path) -> bytes:
    """
    Raises:
        OSError: it cannot be read.
        ConfigError: it is no regular file (a device or pipe may never end), or too large.
    """
    size = path.stat().st_size
    if not (path.is_file() or path.is_dir()):
        raise ConfigError(f"{path}: not a regular file, expected a YAML file")
    if size > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {size:,} bytes, expected at most {MAX_FILE_BYTES:,}")
    return path.read_bytes()


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
    """Put leaves over others, in place; a value and a mapping at one key replace each other.

    Raises:
        ConfigError: there are too many.
    """
    if max(len(leaves), len(winning)) > MAX_KEYS:
        source = next(iter(winning.values()))[1]
        raise ConfigError(f"more than {MAX_KEYS} keys [{source}]")
    for path, found in winning.items():
        for other in [k for k in leaves if k[: len(path)] == path or path[: len(k)] == k]:
            del leaves[other]
        if path in _EITHER and found[0] is not None:
            leaves.pop(_EITHER[path], None)
    leaves |= winning


def _drop_from_stages(leaves: Leaves, path: KeyPath) -> None:
    """Take a key of the command line out of the stages, for it wins over what they say as well."""
    stages, _ = leaves.get(("stages",), ([], ""))
    if path[0] not in SECTIONS and path != ("seed",):
        return
    dropped = {path[-1], _EITHER.get(path, path)[-1]}
    for stage in stages if isinstance(stages, list) else []:
        for key in path[:-1]:
            stage = stage.get(key) if isinstance(stage, dict) else None
        if isinstance(stage, dict):
            for name in dropped & stage.keys():
                del stage[name]


def _validate(leaves: Leaves, faults: list[str]) -> Config:
    """The Config of all leaves. Raises ConfigError with the earlier faults and its own."""
    tree: dict[str | int, Any] = {}
    for path, (value, _) in leaves.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    found, more = stage_faults(tree.get("stages")), 0
    try:
        config = Config.model_validate(tree)
        found += final_phase_faults(config)
    except ValidationError as error:
        first, more = error.errors()[:MAX_FAULTS], error.error_count() - MAX_FAULTS
        found = [(fault["loc"], fault_text(fault)) for fault in first] + found
    for path, text in found:
        origin = _origin(leaves, path)
        shown = f"command line ({origin})" if origin.startswith("--") else origin
        faults.append(f"{one_line(dotted(path))}: {text} [{shown}]")
    if more > 0:
        faults.append(f"and {counted(more, 'fault')} more")
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def _origin(leaves: Leaves, path: KeyPath) -> str:
    """Where a key came from: its leaf, the leaf that contains it, or one that it contains."""
    for leaf, (_, origin) in leaves.items():
        if all(a == b for a, b in zip(leaf, path, strict=False)):
            return origin
    return DEFAULT
