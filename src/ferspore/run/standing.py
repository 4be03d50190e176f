"""Where a run stands, from what its folder holds."""

from typing import Literal

from ferspore.files import beside
from ferspore.run.changes import run_config
from ferspore.run.folder import Holdings, Snapshot
from ferspore.run.names import sidecar_path
from ferspore.run.progress import Progress

Standing = Literal[
    "empty",  # nothing of a run
    "begun",  # a configuration, no snapshot yet
    "stopped",  # a sound snapshot, with steps left to train
    "not evaluated",  # the newest snapshot's epoch has ended, its evaluation has not
    "without final model",  # nothing left to train
    "finished",
    "damaged",  # snapshots, none of them sound
    "two runs",  # snapshots of more than one
    "plain",  # checkpoints of plain MindSpore
    "model",  # a best or final model alone, such as the one that is shipped
    "staged",  # the folder of a run in stages
]


def standing(holdings: Holdings) -> Standing:
    """Where the run in a folder stands."""
    if holdings.is_staged:
        return "staged"
    if len(holdings.runs) > 1:
        return "two runs"
    if holdings.newest is not None:
        return _standing_of_run(holdings, holdings.newest)
    if holdings.is_plain:
        return "plain"
    if holdings.unsound and not _is_half_published(holdings):
        return "damaged"
    if holdings.best or holdings.final:
        return "model"
    if holdings.config or holdings.config_fault or holdings.metrics is not None:
        return "begun"
    return "empty"


def _standing_of_run(holdings: Holdings, snapshot: Snapshot) -> Standing:
    config, progress = run_config(snapshot, holdings), Progress.at(snapshot.sidecar)
    if progress.epoch_done and not progress.evaluated:
        return "not evaluated"
    if not progress.is_over(config.training.epochs, config.training.patience):
        return "stopped"
    return "finished" if is_complete(holdings, snapshot) else "without final model"


def _is_half_published(holdings: Holdings) -> bool:
    """Whether a kill cut the publication of the very first snapshot: its sidecar still waits."""
    waiting = beside(sidecar_path(holdings.unsound[0].path)).name
    return len(holdings.unsound) == 1 and waiting in (holdings.names or ())


def is_complete(holdings: Holdings, snapshot: Snapshot) -> bool:
    """Whether everything stands that the end of a run writes, final model of ``snapshot`` first."""
    best, final, mine = holdings.best, holdings.final, snapshot.sidecar
    if final is None or final.fault is not None or final.sidecar is None:
        return False
    if holdings.metrics != mine.history or (best is not None and best.fault is not None):
        return False
    theirs = final.sidecar
    return (mine.run, mine.sequence, mine.epoch) == (theirs.run, theirs.sequence, theirs.epoch)


def any_trained(holdings: Holdings) -> bool:
    return any(stage.is_trained for stage in holdings.stages.values())
