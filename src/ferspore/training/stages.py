"""Runs in stages: each in a folder of its own below the run's, each resumable."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ferspore import files
from ferspore.config.loading import LoadedConfig, load_config, stage_config
from ferspore.config.schema import Config, ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.evaluation.evaluator import shape_differences, weights_in
from ferspore.network.resnet import ResNet
from ferspore.run.ckpt import UnsoundError, read_ckpt
from ferspore.run.folder import holds_run, list_snapshots
from ferspore.run.names import BEST, CONFIG
from ferspore.training.run import Request, architecture_in, run

Say = Callable[[str], None]


def run_stages(request: Request, only: str | None, say: Say) -> int:
    """Run one stage, or all in their order; a stage that is finished is passed over by its run.

    ``request.folder`` is the run's; its configuration is kept there, so that ``--resume`` needs
    no other argument. Stops at the first stage that does not end well and returns its exit code.

    Raises:
        ConfigError: there are no stages, or no stage of that name, or a hand-over cannot be
            (all of them are checked before the first stage starts).
        and what ``training.run`` raises.
    """
    request = replace(request, given=_with_stages(request))
    config = request.given.config
    names = [stage.name for stage in config.stages] if only is None else [only]
    stages = {name: stage_config(config, name) for name in names}
    check_hand_overs(config, request.folder)
    if request.resume is None and holds_run(request.folder) and only is None:
        raise ConfigError(f"{request.folder} already holds a run: --resume continues it")
    request.folder.mkdir(parents=True, exist_ok=True)
    files.write_file(request.folder / CONFIG, config_yaml(config).encode())
    for number, name in enumerate(stages, 1):
        say(f"stage {name} ({number} of {len(stages)})")
        code = run(_stage_request(request, name, stages[name]), say)
        if code != 0:
            return code
    return 0


def _with_stages(request: Request) -> LoadedConfig:
    """The given configuration, or the one in the run's folder where a resume gave none."""
    kept = request.folder / CONFIG
    if not request.given.config.stages and request.resume is not None and kept.exists():
        return load_config(kept)
    if not request.given.config.stages:
        raise ConfigError("stages: the configuration has none; configs/two_stage.yaml has two")
    return request.given


def _stage_request(request: Request, name: str, config: Config) -> Request:
    folder = request.folder / name
    stage = next(stage for stage in request.given.config.stages if stage.name == name)
    init_from = _source(request.folder, stage.init_from)
    if request.resume is not None and folder.is_dir() and list_snapshots(folder):
        init_from = None  # its weights went into the first step of what is resumed
    given = LoadedConfig(config, _origins(request.given, name))
    return replace(request, given=given, folder=folder, init_from=init_from, stage=name)


def _source(folder: Path, init_from: str | None) -> Path | None:
    if init_from is None:
        return None
    return Path(init_from) if init_from.endswith(".ckpt") else folder / init_from / BEST


def _origins(given: LoadedConfig, name: str) -> dict[str, str]:
    """Origins of a stage's values: its own where it names them, else the run's."""
    index = [stage.name for stage in given.config.stages].index(name)
    prefix = f"stages[{index}]."
    own = {key.removeprefix(prefix): o for key, o in given.origins.items() if key[:1] != "["}
    return {key: origin for key, origin in own.items() if not key.startswith("stages")}


def check_hand_overs(config: Config, folder: Path) -> None:
    """
    Raises:
        ConfigError: a stage cannot take the weights that it is to start from; all differences.
    """
    faults = []
    for stage in config.stages:
        if stage.init_from is None:
            continue
        expected = _shapes(stage_config(config, stage.name))
        if stage.init_from.endswith(".ckpt"):
            received = _shapes_in(Path(stage.init_from), stage.name)
        else:
            received = _shapes(stage_config(config, stage.init_from))
        for fault in shape_differences(expected, received):
            faults.append(f"stage {stage.name} from {stage.init_from}: {fault}")
    if faults:
        raise ConfigError("\n".join(faults))


def _shapes(config: Config) -> dict[str, tuple[int, ...]]:
    return {p.name: tuple(p.shape) for p in ResNet(architecture_in(config)).get_parameters()}


def _shapes_in(path: Path, stage: str) -> dict[str, tuple[int, ...]]:
    try:
        _, weights = weights_in(read_ckpt(path))
    except (UnsoundError, OSError) as error:
        raise ConfigError(f"stage {stage}, init_from {path}: {error}") from error
    return {name: value.shape for name, value in weights.items()}
