"""The story of a run that was decided on: set up, start or resume, train, finish."""

import math
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mindspore.dataset import GeneratorDataset
from mindspore.train import Callback, Model

from ferspore import cluster, runtime
from ferspore.config.views import telling_values
from ferspore.config.yaml_text import config_yaml
from ferspore.data.batches import EpochSource
from ferspore.evaluation.evaluator import Evaluator, weights_in
from ferspore.files import write_file
from ferspore.network.parallel import ALONE, Ranks
from ferspore.network.step import current_weights
from ferspore.run.asked import Decision, RefusalError, StagesDecision
from ferspore.run.changes import other_bits
from ferspore.run.ckpt import UnsoundError, read_ckpt
from ferspore.run.folder import in_the_way, read_folder
from ferspore.run.lock import RunLock
from ferspore.run.names import BEST, CONFIG
from ferspore.run.plain import read_plain
from ferspore.run.progress import Progress
from ferspore.run.sidecar import versions
from ferspore.run.writer import NotFiniteError, RunWriter, clean_leftovers, window_of
from ferspore.tables import Say, counted
from ferspore.training.evaluation import EvalCallback, Validation
from ferspore.training.faces import load_faces
from ferspore.training.progress_bar import ProgressBar
from ferspore.training.ranks import hand_over, summon
from ferspore.training.recorder import StepRecorder
from ferspore.training.restore import initialise_from, restore, take_over
from ferspore.training.setup import Setup, architecture_in, choose_device, facts_of, set_up
from ferspore.training.snapshots import Snapshots
from ferspore.training.stages import check_hand_overs, check_teachers
from ferspore.training.telling import already_finished, end_lines, resumed_line, stopped_line

DONE, FAILED = 0, 1


@dataclass(frozen=True, eq=False)
class Run:
    """A run that is set up: its decision, its parts, how far it is."""

    decision: Decision
    setup: Setup
    progress: Progress
    writer: RunWriter
    validation: Validation
    signals: runtime.StopSignals
    say: Say

    @property
    def folder(self) -> Path:
        return self.decision.folder

    @property
    def is_over(self) -> bool:
        training = self.setup.config.training
        return self.progress.is_over(training.epochs, training.patience)


def carry_out(decision: Decision | StagesDecision, say: Say, ranks: Ranks | None = None) -> int:
    """Do what was decided, in a folder that is ``opened``; returns the exit code. Of several
    ``ranks`` this is the first, see `training/ranks.py`.

    Raises:
        ConfigError, RefusalError, DataError, DeviceError, RunLockedError: the user's input; each
            text says what is wrong, and nothing was written.
        OSError: a file could not be written; all earlier snapshots are whole.
    """
    ranks = ranks or ALONE
    with runtime.StopSignals() as signals:
        if isinstance(decision, StagesDecision):
            return run_stages(decision, signals, say, ranks)
        return train_one(decision, signals, say, ranks)


def run_stages(
    decision: StagesDecision, signals: runtime.StopSignals, say: Say, ranks: Ranks
) -> int:
    """One stage after another, up to the first that does not end well."""
    check_hand_overs(decision.loaded.config, decision.folder)
    check_teachers(decision.parts)

    for number, part in enumerate(decision.parts, 1):
        say(f"stage {part.folder.name} ({number} of {len(decision.parts)})")
        for line in part.lines:
            say(line)
        with RunLock(part.folder):
            code = train_one(part, signals, say, ranks, decision)
        if code != DONE:
            return code
    return DONE


def train_one(
    decision: Decision,
    signals: runtime.StopSignals,
    say: Say,
    ranks: Ranks,
    stages: StagesDecision | None = None,
) -> int:
    """Train in one go, from where ``decision`` says to the end or to a stop.

    ``stages`` is the whole that ``decision`` is a part of. Its configuration is written first, when
    nothing can be refused any more.
    """
    whole = stages or decision
    if decision.action == "finished":
        for line in already_finished(decision, whole):
            say(line)
        return DONE
    try:
        run = set_up_run(decision, signals, say, ranks)
        if stages is not None and stages.keep_config:
            write_file(stages.folder / CONFIG, config_yaml(stages.loaded.config).encode())
        take_up(run)
        hand_over(run.setup, run.progress)
        go_on(run)
        try:
            log = event_log(run)
            if not ranks.agree(run.is_over or signals.received is not None):
                train(run, log)
        except NotFiniteError as error:
            return diverged(run, error)
        if not run.is_over:
            number = signals.received or signal.SIGTERM
            devices = ranks.size if cluster.is_launched() else 1  # another launcher knows how many
            say(stopped_line(whole, run.progress, number, run.writer.newest, devices))
            return 128 + number
        run.writer.save_model("final", current_weights(run.setup.step))
        for line in end_lines("finished", decision, whole, run.progress):
            say(line)
        return DONE
    finally:
        clean_leftovers(decision.folder)  # what a full disk cut short


def diverged(run: Run, error: NotFiniteError) -> int:
    last = run.writer.newest
    saved = f"the last snapshot is {last}" if last else "there is no snapshot yet"
    rate = run.setup.config.training.lr
    run.say(f"stopped: {error}; {saved}; try a lower --lr (now {rate:g})")
    return FAILED


# --- begin ----------------------------------------------------------------------------------------


def set_up_run(decision: Decision, signals: runtime.StopSignals, say: Say, ranks: Ranks) -> Run:
    """Everything that may be refused; nothing is written yet."""
    config, snapshot = decision.config, decision.snapshot
    sidecar = snapshot.sidecar if snapshot is not None else None
    device = choose_device(config, say)
    table = load_faces(config, sidecar, say)
    summon(ranks, decision, table.sha256)
    setup = set_up(config, device, table, sidecar, say, ranks)
    progress = Progress(setup.batches.steps_per_epoch, config.training.monitor)
    if snapshot is not None:
        restore(setup.step, snapshot.tensors, snapshot.path)
        progress = Progress.at(snapshot.sidecar)
    elif decision.plain is not None:
        take_up_plain(decision.plain, setup, progress, say)
    elif decision.init_from is not None:
        initialise_from(setup.step, decision.init_from)
        say(f"weights from {decision.init_from}; epoch 0, a new optimizer")
    holdings = read_folder(decision.folder)
    if later := in_the_way(holdings, progress, config.training.epochs):
        raise RefusalError(
            f"{decision.folder}: the run would overwrite {', '.join(later)}, which ferspore did "
            "not write; move it away, or give an empty --save_dir"
        )
    name = sidecar.run if sidecar is not None else secrets.token_hex(8)
    facts = facts_of(setup, name, decision.stage, decision.command)
    writer = RunWriter(
        decision.folder,
        facts,
        progress,
        keep=config.checkpoint.keep_checkpoint_max,
        window=window_of(holdings, name),
        last_sequence=decision.last_sequence,
        say=say,
    )
    run = Run(decision, setup, progress, writer, validation_of(setup), signals, say)
    say(headline(run))
    return run


def validation_of(setup: Setup) -> Validation:
    return Validation(
        Evaluator(architecture_in(setup.config), setup.config.data.face_size),
        setup.validation_faces,
        setup.seen_faces,
        lambda: current_weights(setup.step),
        setup.ranks,
    )


def take_up_plain(path: Path, setup: Setup, progress: Progress, say: Say) -> None:
    """
    Raises:
        RefusalError: the file is unsound, or of another net.
    """
    try:
        lines = take_over(setup.step, read_plain(path), progress)
    except UnsoundError as error:
        raise RefusalError(f"--resume {path}: {error}") from error
    for line in lines:
        say(line)


def take_up(run: Run) -> None:
    """Bring the folder to the state that the run continues from."""
    decision, writer, snapshot = run.decision, run.writer, run.decision.snapshot
    writer.begin(decision)
    if decision.action == "start":
        return
    if decision.plain is not None:
        measure_best(run)
    writer.warn_of_missing_best()
    if snapshot is not None:
        writer.adopt(snapshot.sidecar)
        size, hardware = run.setup.ranks.size, writer.facts.snapshot["hardware"]
        for line in other_bits(
            snapshot.sidecar, cores=runtime.cores(), world_size=size, hardware=hardware
        ):
            run.say(line)


def go_on(run: Run) -> None:
    """Evaluate what a stop left without it, and say where the run stands."""
    decision = run.decision
    if decision.action == "start":
        return
    if decision.action == "evaluate":
        run.say(
            f"epoch {run.progress.epoch} was not evaluated before the stop: evaluating it first"
        )
        evaluation_of(run, None).finish_epoch()
    rate, training = run.setup.rate(run.progress.global_step), decision.config.training
    told = resumed_line(decision.source, run.progress, rate, training.epochs, training.patience)
    run.say(told)


def measure_best(run: Run) -> None:
    """The best accuracy of a folder that plain MindSpore wrote, by evaluating its best model."""
    path, progress = run.folder / BEST, run.progress
    if not path.exists():
        run.say(f"{path} is missing: the first epoch that is evaluated becomes the best")
        return
    try:
        contents = read_ckpt(path)
        _, weights = weights_in(contents)
        run.validation.evaluator.load(weights)
    except UnsoundError as error:
        run.say(f"{path}: {error}; the first epoch that is evaluated becomes the best")
        return
    scores = run.validation.evaluator.score(run.validation.faces)
    if not math.isfinite(scores.loss):
        run.say(f"{path}: its loss is not finite; the first epoch evaluated becomes the best")
        return
    told = contents.info.get("epoch_num")
    epoch = told if isinstance(told, int) else progress.epoch
    run.writer.take_best(weights, accuracy=scores.accuracy, loss=scores.loss, epoch=epoch)
    run.say(f"{path}: measured again, accuracy {scores.accuracy:.4f}; patience counts from here")


def event_log(run: Run) -> Callback | None:
    if not run.setup.config.logging.tensorboard:
        return None
    from ferspore.training.tensorboard import EventLog  # brings matplotlib: only where asked for

    log = EventLog(
        run.folder,
        run.progress,
        values=telling_values(run.setup.config),
        config_text=config_yaml(run.setup.config),
        faces=run.validation.faces,
        logits=run.validation.evaluator.logits,
        scores=lambda: run.validation.scores,
    )
    log.start()
    return log


# --- train ----------------------------------------------------------------------------------------


def train(run: Run, log: Callback | None) -> None:
    """``Model.train`` from the next step to the last epoch's end, or to a stop."""
    config, progress = run.setup.config, run.progress
    recorder = recorder_of(run.setup, progress, run.signals)
    snapshots = Snapshots(recorder, run.writer, every=config.checkpoint.save_checkpoint_steps)
    bar = ProgressBar(
        progress, epochs=config.training.epochs, batch_size=config.training.batch_size, say=run.say
    )
    shown = [bar] if config.logging.progress else []
    callbacks = [recorder, snapshots, *shown, evaluation_of(run, recorder), *([log] if log else [])]
    try:
        train_epochs(run.setup, progress, callbacks)
    finally:
        bar.close()


def recorder_of(setup: Setup, progress: Progress, signals: runtime.StopSignals) -> StepRecorder:
    """It stops at a signal; where several ranks train, when they have agreed on it."""

    def received() -> bool:
        return signals.received is not None

    every = setup.config.training.losses_every
    if setup.step.across is None:
        return StepRecorder(progress, received, every)
    vote = setup.step.across.vote
    vote.asked = received
    return StepRecorder(progress, vote.passed, every)


def train_epochs(setup: Setup, progress: Progress, callbacks: list[Callback]) -> None:
    source = EpochSource(setup.batches, setup.config.data.workers)
    dataset = GeneratorDataset(
        source,
        ["faces", "targets"],
        shuffle=False,
        num_parallel_workers=1,
        python_multiprocessing=False,
    )
    dataset.dataset_size = setup.batches.steps_per_epoch
    epoch, first_step = progress.next_step
    # The last line before the training: the pipeline opens the source when it is built.
    source.start(epoch=epoch, step=first_step)
    Model(setup.step).train(
        setup.config.training.epochs,
        dataset,
        callbacks=callbacks,
        dataset_sink_mode=False,  # the callbacks see each step
        initial_epoch=epoch - 1,
    )


def evaluation_of(run: Run, recorder: StepRecorder | None) -> EvalCallback:
    training = run.setup.config.training
    return EvalCallback(
        recorder or StepRecorder(run.progress, lambda: False),
        run.writer,
        run.validation,
        epochs=training.epochs,
        patience=training.patience,
        figures=figures_of(run.setup, run.progress),
        say=run.say,
    )


def figures_of(setup: Setup, progress: Progress) -> Callable[[], dict[str, float]]:
    """What else the line of the epoch that ended last holds."""

    def figures() -> dict[str, float]:
        # Of the steps that were timed and count: those before a plain checkpoint do not.
        faces = progress.epoch_loss_steps * setup.batches.batch_size
        return {
            "lr": setup.rate(progress.global_step - 1),
            "seconds": round(progress.epoch_seconds, 3),
            "faces_per_second": round(faces / max(progress.epoch_seconds, 1e-9), 1),
        }

    return figures


def headline(run: Run) -> str:
    setup, config = run.setup, run.setup.config
    parameters = sum(p.size for p in setup.step.network.trainable_params())
    size = setup.ranks.size
    device = setup.device if size == 1 else f"{size} x {setup.device}"
    return (
        f"{run.folder}: {parameters:,} parameters, {len(setup.batches.faces):,} faces, "
        f"{counted(setup.batches.steps_per_epoch, 'step')} of {config.training.batch_size} an "
        f"epoch, {counted(config.training.epochs, 'epoch')}, seed {config.seed}; {device}, "
        f"{counted(runtime.cores(), 'core')}, MindSpore {versions()['mindspore']}"
    )
