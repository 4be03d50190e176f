"""What every rank but the first does: it is told what to train, and writes and prints nothing."""

from contextlib import suppress
from typing import Any

from ferspore import runtime
from ferspore.config.loading import config_from_dict
from ferspore.network.parallel import Ranks
from ferspore.run.asked import RefusalError
from ferspore.run.bystander import Bystander
from ferspore.run.progress import Progress
from ferspore.run.writer import NotFiniteError
from ferspore.training.evaluation import EvalCallback
from ferspore.training.faces import load_faces
from ferspore.training.ranks import EXIT_CODE
from ferspore.training.run import figures_of, recorder_of, train_epochs, validation_of
from ferspore.training.setup import Setup, choose_device, set_up
from ferspore.training.snapshots import FiniteWeights


def follow(ranks: Ranks) -> int:
    """Do what the first rank tells, until it tells the exit code, which is returned.

    Raises:
        ConfigError, RefusalError, DataError: this host's CSV or teachers are not the first rank's.
    """
    with runtime.StopSignals() as signals:
        while EXIT_CODE not in (task := ranks.tell()):
            take_part(task, ranks, signals)
    return task[EXIT_CODE]


def take_part(task: dict[str, Any], ranks: Ranks, signals: runtime.StopSignals) -> None:
    """Train one run, see ``training.run.train_one``, or one stage."""
    setup = same_setup(task, ranks)
    state = ranks.tell()
    if [teacher.sha256 for teacher in setup.teachers] != state["teachers"]:
        raise RefusalError("training.teachers: they are not those of the first rank")
    ranks.share(setup.step)
    config, progress = setup.config, Progress(**state["progress"])
    recorder = recorder_of(setup, progress, signals)
    evaluation = EvalCallback(
        recorder,
        Bystander(progress),
        validation_of(setup),
        epochs=config.training.epochs,
        patience=config.training.patience,
        figures=figures_of(setup, progress),
        say=_quiet,
    )
    if task["action"] == "evaluate":
        evaluation.finish_epoch()
    if ranks.agree(False):
        return  # the first rank knows that no step is to be trained
    finite = FiniteWeights(recorder, setup.step, config.checkpoint.save_checkpoint_steps)
    with suppress(NotFiniteError):  # the first rank has found it, too, and says so
        train_epochs(setup, progress, [recorder, finite, evaluation])


def same_setup(task: dict[str, Any], ranks: Ranks) -> Setup:
    """The first rank's, made anew in this process."""
    config = config_from_dict(task["config"], "the first rank's configuration")
    device = choose_device(config, _quiet)
    table = load_faces(config, None, _quiet)
    if table.sha256 != task["sha256"]:
        raise RefusalError(
            f"{config.data.csv}: its content is not that of the first rank's CSV (sha256 "
            f"{table.sha256[:12]}..., expected {task['sha256'][:12]}...)"
        )
    return set_up(config, device, table, None, _quiet, ranks)


def _quiet(_: str) -> None:
    """The first rank has said it."""
