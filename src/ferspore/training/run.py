"""The story of a run, top to bottom: configure, load, build, resume, train, finish."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor
from mindspore.amp import auto_mixed_precision
from mindspore.dataset import GeneratorDataset
from mindspore.train import Callback, Model

from ferspore import files, runtime
from ferspore.config.loading import LoadedConfig
from ferspore.config.schema import Config, ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches, EpochSource
from ferspore.data.csv import load_csv
from ferspore.data.faces import Faces, FaceTable
from ferspore.data.practice import practice_csv
from ferspore.data.resize import resize
from ferspore.evaluation.evaluator import Evaluator, weights_in
from ferspore.network.resnet import Architecture, build_network
from ferspore.network.schedule import learning_rate
from ferspore.network.step import Schedule, StepSettings, TrainStep, current_weights
from ferspore.run.ckpt import UnsoundError, read_ckpt
from ferspore.run.folder import (
    RunLock,
    Snapshot,
    clean_leftovers,
    holds_run,
    model_sidecar,
    newest_sound,
    progress_of,
    repair_best,
    save_model,
    write_json_lines,
)
from ferspore.run.names import BEST, CONFIG, FINAL, METRICS, sidecar_path
from ferspore.run.plain import PlainCheckpoint, take_over
from ferspore.run.progress import Progress
from ferspore.run.sidecar import describe_file, read_sound, versions
from ferspore.training.callbacks import (
    EvalCallback,
    NonFiniteLossError,
    ProgressBar,
    RunFacts,
    Snapshots,
    StepRecorder,
)
from ferspore.training.resume import (
    ResumeError,
    find_snapshot,
    initialise_from,
    restore,
    resumed_config,
)

Say = Callable[[str], None]

DONE, FAILED = 0, 1
Source = Snapshot | PlainCheckpoint | None  # what a resumed run goes on from
FP16_LOSS_SCALE = 1024.0  # keeps small gradients above half precision's smallest numbers


@dataclass(frozen=True)
class Request:
    """What was asked for. ``resume`` is None, "auto", a folder or a file; ``command`` goes into
    the sidecars of the models."""

    given: LoadedConfig
    folder: Path
    resume: str | None
    init_from: Path | None
    command: str = ""
    stage: str | None = None


def run(request: Request, say: Say) -> int:
    """Train as asked and return the exit code.

    Raises:
        ConfigError, DataError, ResumeError, DeviceError, RunLockedError: the user's input; each
            text says what is wrong.
        OSError: a file could not be written; all earlier snapshots are whole.
    """
    refuse_what_contradicts(request)
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        with RunLock(request.folder), runtime.StopSignals() as signals:
            clean_leftovers(request.folder)
            try:
                return run_locked(request, signals, say)
            finally:
                clean_leftovers(request.folder)  # what a full disk cut short
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # That of a write names no file.
        raise OSError(error.errno, error.strerror, str(request.folder)) from error


def run_locked(request: Request, signals: runtime.StopSignals, say: Say) -> int:
    config, source = configure(request, say)
    device = choose_device(config, say)
    table = load_faces(config, source, say)
    batches = build_batches(config, table)
    rate = schedule_of(config, batches.steps_per_epoch)
    step = build_step(config, table, rate, batches.steps_per_epoch)
    evaluator = Evaluator(architecture_in(config), config.data.face_size)
    facts = describe_run(request, config, source, table)
    say(headline(facts, config, table, step, batches, device))

    progress = start(request, config, source, step, batches.steps_per_epoch, say)
    recorder = StepRecorder(progress, lambda: signals.received is not None)
    snapshots = Snapshots(
        recorder,
        facts,
        keep=config.checkpoint.keep_checkpoint_max,
        every=config.checkpoint.save_checkpoint_steps,
    )
    evaluation = EvalCallback(
        recorder,
        facts,
        evaluator=evaluator,
        faces=table.splits[config.data.val_usage],
        weights=lambda: current_weights(step),
        learning_rate=rate,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        patience=config.training.patience,
        after=snapshots.mark_evaluated,
        say=say,
    )
    bar = ProgressBar(
        progress, epochs=config.training.epochs, batch_size=config.training.batch_size, say=say
    )
    prepare_folder(facts, config, say)
    if source:
        take_up(source, snapshots, evaluation, say)
        say(resumed_line(source.path, progress, config, rate))
    log = event_log(facts, config, evaluation) if config.logging.tensorboard else None
    if log:
        log.start()
    if not is_over(progress, config) and signals.received is None:
        shown = [bar] if config.logging.progress else []
        callbacks = [recorder, snapshots, *shown, evaluation, *([log] if log else [])]
        try:
            train_epochs(step, batches, progress, config, callbacks)
        except NonFiniteLossError as error:
            say(f"stopped: {error}. {last_snapshot_line(facts.folder)} A lower learning rate helps")
            return FAILED
        finally:
            bar.close()
    if not is_over(progress, config):
        return stopped(facts.folder, progress, signals.received, say)
    return finish(facts, config, progress, step, say)


# --- configure ----------------------------------------------------------------------------------


def refuse_what_contradicts(request: Request) -> None:
    if request.resume is not None and request.init_from is not None:
        raise ResumeError(
            "--resume and --init_from: received both; the first goes on with a run, the second "
            "starts a new one from the weights of another"
        )
    if request.resume is None and holds_run(request.folder):
        raise ResumeError(
            f"{request.folder} already holds a run: --resume continues it, another --name "
            "starts a new one"
        )


def configure(request: Request, say: Say) -> tuple[Config, Source]:
    """The configuration of this run and what it goes on from, if anything."""
    if request.resume is None:
        return request.given.config, None
    source, lines = find_snapshot(request.resume, request.folder)
    config = request.given.config
    if isinstance(source, Snapshot):
        config, more = resumed_config(source.sidecar, request.given)
        lines = [*lines, *more]
    for line in lines:
        say(line)
    return config, source


def choose_device(config: Config, say: Say) -> str:
    device, lines = runtime.select_device(config.device)
    for line in lines:
        say(line)
    if device == "CPU" and config.training.amp_level != "O0":
        raise ConfigError(
            f"training.amp_level: received {config.training.amp_level!r}; mixed precision is for "
            "GPU and Ascend, on the CPU only 'O0' is accepted"
        )
    return device


# --- load and build -----------------------------------------------------------------------------


def load_faces(config: Config, going_on: Source, say: Say) -> FaceTable:
    """The Training split and the one that selects the best model; never PrivateTest unasked."""
    source = config.data.csv
    if source is None:
        raise ConfigError(
            "data.csv: no CSV was given; --data_csv fer2013.csv names one, and "
            "--config configs/practice.yaml needs none"
        )
    table = load_csv(
        practice_csv() if source == "practice" else Path(source),
        ("Training", config.data.val_usage),
        skip_bad_rows=config.data.skip_bad_rows,
        cache=config.data.cache,
        report=say,
    )
    if isinstance(going_on, Snapshot) and table.sha256 != going_on.sidecar.data["sha256"]:
        trained = going_on.sidecar.data
        raise ResumeError(
            f"{source}: its content is not what the run was trained on (sha256 "
            f"{table.sha256[:12]}..., the run has {trained['sha256'][:12]}... of {trained['csv']})"
        )
    return table


def describe_run(request: Request, config: Config, going_on: Source, table: FaceTable) -> RunFacts:
    """What the sidecars say; those of best and final models name no path."""
    values = config.to_dict()
    source = values["data"]["csv"]
    if source != "practice":
        values["data"]["csv"] = str(table.path.resolve())
    data = {"csv": values["data"]["csv"], "sha256": table.sha256, "counts": table.counts}
    # A resumed run keeps the command that began it.
    command = going_on.sidecar.command if isinstance(going_on, Snapshot) else request.command
    bare = {**values, "data": {**values["data"], "csv": Path(source).name}}
    return RunFacts(
        request.folder,
        snapshot={
            "config": values,
            "data": data,
            "stage": request.stage,
            "command": command,
            "cores": runtime.cores(),
        },
        model={
            "config": bare,
            "data": {"csv": Path(source).name, "sha256": table.sha256},
            "usage": config.data.val_usage,
            "command": command,
        },
    )


def build_batches(config: Config, table: FaceTable) -> Batches:
    faces = table.splits["Training"]
    if len(faces) < config.training.batch_size:
        raise ConfigError(
            f"training.batch_size: received {config.training.batch_size}, more than the "
            f"{len(faces)} faces of Training"
        )
    limits = config.augment
    return Batches(
        Faces(resize(faces.images, config.data.face_size), faces.labels),
        seed=config.seed,
        batch_size=config.training.batch_size,
        augmentation=Augmentation(
            flip=limits.flip,
            shift=limits.shift,
            rotation=limits.rotation,
            scale=limits.scale,
            erasing=limits.erasing,
            mixup_alpha=config.training.mixup_alpha,
        ),
    )


def schedule_of(config: Config, steps_per_epoch: int) -> Callable[[int], float]:
    """Global step (0-based) -> learning rate of this run."""

    def rate(global_step: int) -> float:
        return learning_rate(
            global_step,
            peak=config.training.lr,
            warmup_steps=round(config.training.warmup_epochs * steps_per_epoch),
            total_steps=config.training.epochs * steps_per_epoch,
        )

    return rate


def architecture_in(config: Config) -> Architecture:
    return Architecture(config.model.width, config.model.blocks, config.model.squeeze_excite)


def build_step(
    config: Config, table: FaceTable, rate: Callable[[int], float], steps_per_epoch: int
) -> TrainStep:
    network = build_network(architecture_in(config), config.seed)
    images = table.splits["Training"].images
    network.normalize.mean.set_data(Tensor(np.float32([images.mean()])))
    network.normalize.deviation.set_data(Tensor(np.float32([max(images.std(), 1.0)])))
    level = config.training.amp_level
    if level != "O0":
        network = auto_mixed_precision(network, level)
    settings = StepSettings(
        optimizer=config.training.optimizer,
        momentum=config.training.momentum,
        weight_decay=config.training.weight_decay,
        label_smoothing=config.training.label_smoothing,
        ema_decay=config.training.ema_decay,
        loss_scale=1.0 if level == "O0" else FP16_LOSS_SCALE,
    )
    return TrainStep(network, settings, Schedule(rate, config.training.epochs * steps_per_epoch))


# --- start or resume ----------------------------------------------------------------------------


def start(
    request: Request,
    config: Config,
    source: Source,
    step: TrainStep,
    steps_per_epoch: int,
    say: Say,
) -> Progress:
    """Bring the step to where the run begins; its progress there."""
    progress = Progress(steps_per_epoch, config.training.monitor)
    if request.init_from:
        initialise_from(step, request.init_from)
        say(f"weights from {request.init_from}; epoch 0, a new optimizer")
    if isinstance(source, PlainCheckpoint):
        try:
            lines = take_over(step, source, progress)
        except UnsoundError as error:
            raise ResumeError(str(error)) from error
        for line in lines:
            say(line)
    if isinstance(source, Snapshot):
        restore(step, source)
        progress = progress_of(source.sidecar, config.training.monitor)
        if source.sidecar.cores != runtime.cores():
            say(
                f"warning: the snapshot was written with {source.sidecar.cores} CPU cores, now "
                f"there are {runtime.cores()}: sums round otherwise, so the bits will differ"
            )
    if source:
        progress.resumes.append(progress.global_step)
    return progress


def prepare_folder(facts: RunFacts, config: Config, say: Say) -> None:
    files.write_file(facts.folder / CONFIG, config_yaml(config).encode())
    if repaired := repair_best(facts.folder, config.training.monitor, facts.model):
        say(repaired)


def take_up(source: Source, snapshots: Snapshots, evaluation: EvalCallback, say: Say) -> None:
    """Bring the folder to the state of what the run goes on from."""
    progress, facts = snapshots.recorder.progress, snapshots.facts
    if isinstance(source, PlainCheckpoint):
        measure_best(facts, progress, evaluation, say)
    write_json_lines(facts.folder / METRICS, progress.history)
    if progress.best_epoch and not (facts.folder / BEST).exists():
        say(f"warning: {facts.folder / BEST} of epoch {progress.best_epoch} is not in this folder")
    if progress.epoch_done and not progress.evaluated:
        say(f"epoch {progress.epoch} was not evaluated before the stop: evaluating it first")
        evaluation.finish_epoch()
        if source.path.parent.resolve() == facts.folder.resolve():
            snapshots.adopt(source.sidecar)
            snapshots.mark_evaluated()


def event_log(facts: RunFacts, config: Config, evaluation: EvalCallback) -> Callback:
    from ferspore.training.tensorboard import EventLog

    return EventLog(
        facts.folder,
        evaluation.recorder.progress,
        config=facts.model["config"],
        config_text=config_yaml(config),
        faces=evaluation.faces,
        logits=evaluation.evaluator.logits,
        scores=lambda: evaluation.scores,
    )


def measure_best(facts: RunFacts, progress: Progress, evaluation: EvalCallback, say: Say) -> None:
    """The best accuracy of a folder that plain MindSpore wrote, by evaluating its best model."""
    path = facts.folder / BEST
    if not path.exists():
        say(f"{path} is not there: the first epoch that is evaluated becomes the best")
        return
    try:
        contents = read_ckpt(path)
        _, weights = weights_in(contents)
        evaluation.evaluator.load(weights)
    except UnsoundError as error:
        say(f"{path}: {error}; the first epoch that is evaluated becomes the best")
        return
    scores = evaluation.evaluator.score(evaluation.faces)
    progress.best_accuracy, progress.best_loss = scores.accuracy, scores.loss
    progress.best_epoch = int(contents.info.get("epoch_num", progress.epoch))
    info = {
        "best_accuracy": scores.accuracy,
        "best_epoch": progress.best_epoch,
        "val_loss": scores.loss,
        "epoch_num": progress.best_epoch,
    }
    described = describe_file(path, path.name)
    sidecar = model_sidecar(described, "best", weights, info, progress.monitor, facts.model)
    files.write_file(sidecar_path(path), sidecar)
    say(f"{path}: measured anew, accuracy {scores.accuracy:.4f}; patience counts from here")


# --- train --------------------------------------------------------------------------------------


def train_epochs(
    step: TrainStep, batches: Batches, progress: Progress, config: Config, callbacks: list
) -> None:
    """``Model.train`` from the next step to the last epoch's end, or to a stop."""
    source = EpochSource(batches)
    dataset = GeneratorDataset(
        source,
        ["faces", "targets"],
        shuffle=False,
        num_parallel_workers=1,
        python_multiprocessing=False,
    )
    dataset.dataset_size = batches.steps_per_epoch
    epoch, first_step = progress.next_step
    # The last line before the training: the pipeline opens the source when it is built.
    source.start(epoch=epoch, step=first_step)
    Model(step).train(
        config.training.epochs,
        dataset,
        callbacks=callbacks,
        dataset_sink_mode=False,  # the callbacks see each step
        initial_epoch=epoch - 1,
    )


def is_over(progress: Progress, config: Config) -> bool:
    done = progress.epochs_done >= config.training.epochs
    return done or progress.out_of_patience(config.training.patience)


# --- say and finish -----------------------------------------------------------------------------


def headline(
    facts: RunFacts,
    config: Config,
    table: FaceTable,
    step: TrainStep,
    batches: Batches,
    device: str,
) -> str:
    parameters = sum(p.size for p in step.network.trainable_params())
    return (
        f"{facts.folder}: {parameters:,} parameters, {len(table.splits['Training']):,} faces, "
        f"{batches.steps_per_epoch} steps of {config.training.batch_size} an epoch, "
        f"{config.training.epochs} epochs, seed {config.seed}; {device}, {runtime.cores()} cores, "
        f"MindSpore {versions()['mindspore']}"
    )


def resumed_line(
    path: Path, progress: Progress, config: Config, rate: Callable[[int], float]
) -> str:
    best = "no epoch evaluated yet"
    if progress.best_accuracy is not None:
        best = (
            f"best accuracy {progress.best_accuracy:.4f} at epoch {progress.best_epoch}, "
            f"{progress.epochs_since_best} epochs since"
        )
    return (
        f"resumed from {path} at epoch {progress.epoch}, step "
        f"{progress.step}/{progress.steps_per_epoch}: {best}; lr {rate(progress.global_step):.5f}; "
        f"{config.training.epochs - progress.epochs_done} epochs to go"
    )


def last_snapshot_line(folder: Path) -> str:
    snapshot, _ = newest_sound(folder)
    return f"The last snapshot, {snapshot.path}, stands." if snapshot else "No snapshot yet."


def continue_command(folder: Path) -> str:
    named = folder.parent.name == "checkpoints" and not folder.parent.is_absolute()
    where = f"--name {folder.name}" if named else f"--save_dir {folder}"
    return f"python src/train.py {where} --resume"


def stopped(folder: Path, progress: Progress, number: int, say: Say) -> int:
    say(
        f"stopped by {signal.Signals(number).name} after epoch {progress.epoch}, step "
        f"{progress.step}. {last_snapshot_line(folder)} To continue: {continue_command(folder)}"
    )
    return 128 + number


def finish(facts: RunFacts, config: Config, progress: Progress, step: TrainStep, say: Say) -> int:
    """Write the final model unless it stands, and say where everything is."""
    final = facts.folder / FINAL
    if is_written(final, progress):
        say(f"{facts.folder}: this run is finished; {finished_reason(progress, config)}")
    else:
        save_model(final, "final", current_weights(step), progress, facts.model)
        say(f"finished: {finished_reason(progress, config)}")
    say(f"  best model   {facts.folder / BEST}")
    say(f"  final model  {final}")
    say(f"  metrics      {facts.folder / METRICS}")
    source = facts.snapshot["config"]["data"]["csv"]
    csv = practice_csv() if source == "practice" else source
    say(
        f"to evaluate: python src/evaluate.py --csv {csv} --ckpt {facts.folder / BEST} "
        f"--usage {config.data.val_usage}"
    )
    return DONE


def is_written(final: Path, progress: Progress) -> bool:
    try:
        _, sidecar = read_sound(final)
    except UnsoundError:
        return False
    return sidecar.epoch == progress.epoch


def finished_reason(progress: Progress, config: Config) -> str:
    best = (
        "no epoch had a finite accuracy"
        if progress.best_accuracy is None
        else f"best accuracy {progress.best_accuracy:.4f} at epoch {progress.best_epoch}"
    )
    if progress.epochs_done >= config.training.epochs:
        return f"{progress.epochs_done} epochs, {best} ({config.data.val_usage})"
    return (
        f"stopped early after {progress.epochs_done} epochs, {progress.epochs_since_best} without "
        f"an improvement; {best} ({config.data.val_usage}); a larger --patience goes on"
    )
