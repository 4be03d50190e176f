"""What a run says of itself, in lines for the user."""

import signal
from pathlib import Path

from ferspore.config.schema import Config
from ferspore.run.asked import Decision, StagesDecision
from ferspore.run.names import BEST, FINAL, METRICS
from ferspore.run.progress import Progress
from ferspore.tables import counted


def resumed_line(source: Path | None, progress: Progress, rate: float, epochs: int) -> str:
    """``rate`` is the learning rate of the next step."""
    best = "no best epoch yet"
    if progress.best_value is not None:
        best = f"{best_text(progress)}, {counted(progress.epochs_since_best, 'epoch')} since"
    return (
        f"resumed from {source} at epoch {progress.epoch}, step "
        f"{progress.step}/{progress.steps_per_epoch}: {best}; lr {rate:.5f}; "
        f"{counted(epochs - progress.epochs_done, 'epoch')} to go"
    )


def best_text(progress: Progress) -> str:
    """The best epoch, by what is monitored."""
    loss = "" if progress.monitor == "val_accuracy" else f"val_loss {progress.best_loss:.4f}, "
    return f"best {loss}accuracy {progress.best_accuracy:.4f} at epoch {progress.best_epoch}"


def stopped_line(decision: Decision, progress: Progress, number: int, last: Path | None) -> str:
    """``number`` is the signal's, ``last`` the newest snapshot."""
    key = " (Ctrl-C)" if number == signal.SIGINT else ""
    saved = f"saved to {last}" if last else "no snapshot yet"
    return (
        f"stopped by {signal.Signals(number).name}{key} in epoch {progress.epoch}, step "
        f"{progress.step} of {progress.steps_per_epoch}; {saved}. "
        f"To continue: {continue_command(decision)}"
    )


def continue_command(decision: Decision) -> str:
    """What continues the whole run, all stages included."""
    folder = decision.folder if decision.stage is None else decision.folder.parent
    named = folder.parent.name == "checkpoints" and not folder.parent.is_absolute()
    where = f"--name {folder.name}" if named else f"--save_dir {folder}"
    return f"python src/train.py {where} --resume"


def finished_lines(decision: Decision | StagesDecision) -> list[str]:
    """Of a run, or of all stages, that no step is left of."""
    if isinstance(decision, StagesDecision):
        return [line for part in decision.parts for line in (*part.lines, *finished_lines(part))]
    snapshot = decision.snapshot
    assert snapshot is not None and snapshot.sidecar is not None  # the last of the run
    progress = Progress.at(snapshot.sidecar)
    return end_lines("already finished", decision.folder, decision.config, progress)


def end_lines(how: str, folder: Path, config: Config, progress: Progress) -> list[str]:
    """How the run ended, where everything is, and what comes next."""
    best, csv = folder / BEST, config.data.csv
    return [
        f"{how}: {_end(config, progress)}",
        f"  best model   {best}",
        f"  final model  {folder / FINAL}",
        f"  metrics      {folder / METRICS}",
        f"to evaluate: python src/evaluate.py --csv {csv} --ckpt {best}",
    ]


def _end(config: Config, progress: Progress) -> str:
    best = "no epoch had a finite loss" if progress.best_value is None else best_text(progress)
    epochs, best = counted(progress.epochs_done, "epoch"), f"{best} ({config.data.val_usage})"
    if progress.epochs_done >= config.training.epochs:
        return f"{epochs}, {best}; --epochs N trains on"
    return (
        f"stopped early after {epochs}, {progress.epochs_since_best} without an improvement; "
        f"{best}; a larger --patience trains on"
    )
