"""What a run says of itself, in lines for the user."""

import re
from pathlib import Path

from ferspore import runtime
from ferspore.config.schema import Config
from ferspore.run.asked import Decision, StagesDecision
from ferspore.run.names import BEST, FINAL, METRICS
from ferspore.run.progress import Progress
from ferspore.tables import counted

NAME = re.compile(r"(?!auto(-|$))\w[\w.-]*", re.ASCII)  # that --name takes as it is


def resumed_line(
    source: Path | None, progress: Progress, rate: float, epochs: int, patience: int
) -> str:
    """``rate`` is the learning rate of the next step."""
    left = 0 if progress.is_over(epochs, patience) else epochs - progress.epochs_done
    best = "no best epoch yet"
    if progress.best_value is not None:
        best = f"{best_text(progress)}, {counted(progress.epochs_since_best, 'epoch')} since"
    return (
        f"resumed from {source} at epoch {progress.epoch}, step "
        f"{progress.step}/{progress.steps_per_epoch}: {best}; lr {rate:.5f}; "
        f"{counted(left, 'epoch')} to go"
    )


def best_text(progress: Progress) -> str:
    """The best epoch, by what is monitored."""
    loss = "" if progress.monitor == "val_accuracy" else f"val_loss {progress.best_loss:.4f}, "
    return f"best {loss}accuracy {progress.best_accuracy:.4f} at epoch {progress.best_epoch}"


def stopped_line(
    whole: Decision | StagesDecision,
    progress: Progress,
    number: int,
    last: Path | None,
    devices: int,
) -> str:
    """``number`` is the signal's, ``last`` the newest snapshot, ``devices`` how many to launch."""
    where = f"in epoch {progress.epoch}, step {progress.step} of {progress.steps_per_epoch}"
    return (
        f"{runtime.stop_text(number)} {where if progress.epoch else 'before the first step'}; "
        f"{f'saved to {last}' if last else 'no snapshot yet'}. "
        f"To continue: {continue_command(whole, devices)}"
    )


def continue_command(whole: Decision | StagesDecision, devices: int = 1) -> str:
    """What continues all that was started: a run, one stage, or all stages."""
    folder = whole.folder
    named = folder.parent == Path("checkpoints") and NAME.fullmatch(folder.name)
    words = ["--name", folder.name] if named else ["--save_dir", folder]
    if isinstance(whole, StagesDecision):
        every = len(whole.parts) == len(whole.loaded.config.stages)
        words += ["--run-all-stages"] if every else ["--stage", whole.parts[0].folder.name]
    several = ["--devices", devices] if devices > 1 else []
    return runtime.command("train", *words, "--resume", *several)


def finished_lines(whole: Decision | StagesDecision) -> list[str]:
    """Of a run, or of all stages, that no step is left of."""
    if isinstance(whole, Decision):
        return already_finished(whole, whole)
    return [line for part in whole.parts for line in (*part.lines, *already_finished(part, whole))]


def already_finished(decision: Decision, whole: Decision | StagesDecision) -> list[str]:
    """Of a run, or of a stage of ``whole``, that no step is left of."""
    snapshot = decision.snapshot
    assert snapshot is not None and snapshot.sidecar is not None  # the last of the run
    return end_lines("already finished", decision, whole, Progress.at(snapshot.sidecar))


def end_lines(
    how: str, decision: Decision, whole: Decision | StagesDecision, progress: Progress
) -> list[str]:
    """How a run, or a stage of ``whole``, ended, where everything is, and what comes next."""
    folder, config = decision.folder, decision.config
    stages = whole.loaded.config.stages if isinstance(whole, StagesDecision) else ()
    is_last = not stages or stages[-1].name == folder.name
    best = folder / BEST
    evaluate = runtime.command("evaluate", "--csv", config.data.csv, "--ckpt", best)
    return [
        f"{how}: {_end(config, progress)}{_more(config, progress) if is_last else ''}",
        f"  best model   {best}",
        f"  final model  {folder / FINAL}",
        f"  metrics      {folder / METRICS}",
        f"to evaluate: {evaluate}",
    ]


def _end(config: Config, progress: Progress) -> str:
    best = "no epoch had a finite loss" if progress.history else "no epoch was evaluated"
    if progress.best_value is not None:
        best = best_text(progress)
    epochs, best = counted(progress.epochs_done, "epoch"), f"{best} ({config.data.val_usage})"
    if progress.epochs_done >= config.training.epochs:
        return f"{epochs}, {best}"
    return (
        f"stopped early after {epochs}, {progress.epochs_since_best} without an improvement; {best}"
    )


def _more(config: Config, progress: Progress) -> str:
    """What trains on; an earlier stage never does once a later one has begun."""
    ended = progress.epochs_done >= config.training.epochs
    return f"; {'--epochs N' if ended else 'a larger --patience'} trains on"
