"""Whether each stage of a run can take the weights and the teachers that it is to have."""

from collections.abc import Sequence
from pathlib import Path

from ferspore.config.loading import stage_config
from ferspore.config.schema import Config, ConfigError
from ferspore.evaluation.differences import Shapes, network_differences
from ferspore.evaluation.evaluator import weights_in
from ferspore.network.resnet import ResNet
from ferspore.run.asked import Decision, RefusalError
from ferspore.run.ckpt import UnsoundError, read_ckpt
from ferspore.training.setup import architecture_in, teachers_of


def check_hand_overs(config: Config, folder: Path) -> None:
    """
    Raises:
        ConfigError: a stage cannot take the weights that it is to start from.
    """
    faults = []
    for stage in config.stages:
        own = stage_config(config, stage.name)
        if own.init_from is None:
            continue
        if own.init_from.endswith(".ckpt"):
            received = _shapes_in(Path(own.init_from), stage.name)
        else:
            received = _shapes(stage_config(config, own.init_from))
        if different := network_differences(_shapes(own), received):
            told = f"stage {stage.name} from {own.init_from}: another net:"
            faults.append("\n  ".join([told, *different]))
    if faults:
        raise ConfigError("\n".join(faults))


def check_teachers(parts: Sequence[Decision]) -> None:
    """
    Raises:
        RefusalError: a stage that is to be trained cannot have its teachers.
    """
    for part in parts:
        if not part.is_finished:
            sidecar = None if part.snapshot is None else part.snapshot.sidecar
            try:
                teachers_of(part.config, sidecar, say=lambda _: None)
            except RefusalError as error:
                raise RefusalError(f"stage {part.folder.name}: {error}") from error


def _shapes(config: Config) -> Shapes:
    return {p.name: tuple(p.shape) for p in ResNet(architecture_in(config)).get_parameters()}


def _shapes_in(path: Path, stage: str) -> Shapes:
    try:
        _, weights = weights_in(read_ckpt(path))
    except (UnsoundError, OSError) as error:
        raise ConfigError(f"stage {stage}, init_from {path}: {error}") from error
    return {name: value.shape for name, value in weights.items()}
