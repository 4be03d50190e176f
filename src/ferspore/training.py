"""The story of a run, top to bottom: configure, load, build, resume, train, finish."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor
from mindspore.amp import auto_mixed_precision
from mindspore.dataset import GeneratorDataset
from mindspore.train import Model

from ferspore import checkpoint, run_folder, runtime
from ferspore.callbacks import (
    EvalCallback,
    NonFiniteLossError,
    ProgressBar,
    RunFacts,
    Snapshots,
    StepRecorder,
)
from ferspore.checkpoint import UnsoundError
from ferspore.config import Config, ConfigError, LoadedConfig, config_yaml
from ferspore.data.batches import Augmentation, Batches, EpochSource
from ferspore.data.csv import FaceTable, load_csv
from ferspore.data.practice import practice_csv
from ferspore.evaluate import Evaluator, shape_differences, weights_in
from ferspore.model import Architecture, build_network
from ferspore.progress import Progress
from ferspore.resume import ResumeError, Snapshot, find_snapshot, resumed_config
from ferspore.run_folder import BEST, CONFIG, FINAL, METRICS, RunLock
from ferspore.schedule import learning_rate
from ferspore.step import Schedule, StepSettings, TrainStep, current_weights

Say = Callable[[str], None]

DONE, FAILED = 0, 1
FP16_LOSS_SCALE = 1024.0  # keeps small gradients above half precision's smallest numbers


@dataclass(frozen=True)
class Request:
    """What the command line asked for. ``resume`` is None, "auto", a folder or a file."""

    given: LoadedConfig
    folder: Path
    resume: str | None
    init_from: Path | None


def run(request: Request, say: Say) -> int:
    """Train as asked and return the exit code.

    Raises:
        ConfigError, DataError, ResumeError, DeviceError, RunLockedError: the user's input; each
            text says what is wrong.
        OSError: a file could not be written; all earlier snapshots are whole.
    """
    refuse_what_contradicts(request)
    request.folder.mkdir(parents=True, exist_ok=True)
    with RunLock(request.folder), runtime.StopSignals() as signals:
        run_folder.clean_leftovers(request.folder)
        return run_locked(request, signals, say)


def run_locked(request: Request, signals: runtime.StopSignals, say: Say) -> int:
    config, snapshot = configure(request, say)
    device, lines = runtime.select_device(config.device)
    for line in lines:
        say(line)
    refuse_amp_on_cpu(config, device)
    table = load_faces(config, snapshot, say)
    facts = describe_run(request.folder, config, table)
    batches = build_batches(config, table)
    rate = schedule_of(config, batches.steps_per_epoch)
    step = build_step(config, table, rate, batches.steps_per_epoch)
    progress = Progress(batches.steps_per_epoch, config.training.monitor)
    if snapshot:
        progress = restore(step, snapshot, config, say)
    elif request.init_from:
        initialise_from(step, request.init_from, say)
    announce(facts, config, table, step, progress, device, say)

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
        evaluator=Evaluator(architecture_in(config)),
        faces=table.splits[config.data.val_usage],
        weights=lambda: current_weights(step),
        learning_rate=rate,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        patience=config.training.patience,
        after=snapshots.mark_evaluated,
        say=say,
    )
    checkpoint.write_file(facts.folder / CONFIG, config_yaml(config).encode())
    if repaired := run_folder.repair_best(facts.folder, config.training.monitor, facts.model):
        say(repaired)
    if snapshot:
        take_up(snapshot, snapshots, evaluation, say)
    if not is_over(progress, config) and signals.received is None:
        bar = ProgressBar(
            progress,
            epochs=config.training.epochs,
            batch_size=config.training.batch_size,
            say=say,
        )
        callbacks = [recorder, snapshots, *([bar] if config.logging.progress else []), evaluation]
        try:
            train_epochs(step, batches, progress, config, callbacks)
        except NonFiniteLossError as error:
            bar.close()
            say(f"stopped: {error}. {last_snapshot_line(facts.folder)} A lower learning rate helps")
            return FAILED
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
    if request.resume is None and run_folder.holds_run(request.folder):
        raise ResumeError(
            f"{request.folder} already holds a run: --resume continues it, another --name "
            "starts a new one"
        )


def configure(request: Request, say: Say) -> tuple[Config, Snapshot | None]:
    """The configuration of this run and the snapshot it goes on from, if any."""
    if request.resume is None:
        return request.given.config, None
    snapshot, lines = find_snapshot(request.resume, request.folder)
    for line in lines:
        say(line)
    if snapshot is None:
        return request.given.config, None
    config, lines = resumed_config(snapshot.sidecar, request.given)
    for line in lines:
        say(line)
    return config, snapshot


def refuse_amp_on_cpu(config: Config, device: str) -> None:
    if device == "CPU" and config.training.amp_level != "O0":
        raise ConfigError(
            f"training.amp_level: received {config.training.amp_level!r}; mixed precision is for "
            "GPU and Ascend, on the CPU only 'O0' is accepted"
        )


# --- load and build -----------------------------------------------------------------------------


def load_faces(config: Config, snapshot: Snapshot | None, say: Say) -> FaceTable:
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
    if snapshot and table.sha256 != snapshot.sidecar.data["sha256"]:
        raise ResumeError(
            f"{source}: its content is not what the run was trained on "
            f"(sha256 {table.sha256[:12]}..., the run has "
            f"{snapshot.sidecar.data['sha256'][:12]}... of {snapshot.sidecar.data['csv']})"
        )
    return table


def describe_run(folder: Path, config: Config, table: FaceTable) -> RunFacts:
    """What the sidecars say; those of best and final models name no path."""
    values = config.to_dict()
    source = values["data"]["csv"]
    if source != "practice":
        values["data"]["csv"] = str(table.path.resolve())
    data = {"csv": values["data"]["csv"], "sha256": table.sha256, "counts": table.counts}
    bare = {**values, "data": {**values["data"], "csv": Path(source).name}}
    return RunFacts(
        folder,
        snapshot={"config": values, "data": data, "stage": None, "cores": runtime.cores()},
        model={
            "config": bare,
            "data": {"csv": Path(source).name, "sha256": table.sha256},
            "usage": config.data.val_usage,
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
        faces,
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


# --- resume -------------------------------------------------------------------------------------


def restore(step: TrainStep, snapshot: Snapshot, config: Config, say: Say) -> Progress:
    """Put the snapshot's tensors into the step, each by its exact name and shape."""
    parameters = {parameter.name: parameter for parameter in step.get_parameters()}
    faults = shape_differences(
        {name: parameter.shape for name, parameter in parameters.items()},
        {name: value.shape for name, value in snapshot.tensors.items()},
    )
    if faults:
        raise ResumeError(f"{snapshot.path}: not of this run: " + "; ".join(faults))
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(snapshot.tensors[name].copy()))
    if snapshot.sidecar.cores != runtime.cores():
        say(
            f"warning: the snapshot was written with {snapshot.sidecar.cores} CPU cores, now "
            f"there are {runtime.cores()}: sums round otherwise, so the bits will differ"
        )
    return run_folder.progress_of(snapshot.sidecar, config.training.monitor)


def initialise_from(step: TrainStep, path: Path, say: Say) -> None:
    """Start from the weights of another run; everything else is new.

    Raises:
        ResumeError: the file is not sound, or its net is another one (all differences named).
    """
    try:
        contents = checkpoint.read_ckpt(path)
        _, weights = weights_in(contents)
        if bad := checkpoint.not_finite(weights):
            raise UnsoundError(f"it holds values that are not finite, in {', '.join(bad[:3])}")
    except (UnsoundError, OSError) as error:
        raise ResumeError(f"--init_from {path}: {error}") from error
    parameters = {p.name: p for p in step.network.get_parameters()}
    faults = shape_differences(
        {name: parameter.shape for name, parameter in parameters.items()},
        {name: value.shape for name, value in weights.items()},
    )
    if faults:
        raise ResumeError(f"--init_from {path}: another net:\n  " + "\n  ".join(faults))
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(weights[name].copy()))
    for average in step.averages:
        average.set_data(Tensor(weights[average.name.removeprefix("ema.")].copy()))
    say(f"weights from {path}; epoch 0, a new optimizer")


def take_up(snapshot: Snapshot, snapshots: Snapshots, evaluation: EvalCallback, say: Say) -> None:
    """Bring the folder to the snapshot's state: metrics, and an evaluation that did not happen."""
    progress, facts = snapshots.recorder.progress, snapshots.facts
    run_folder.write_json_lines(facts.folder / METRICS, progress.history)
    if progress.best_epoch and not (facts.folder / BEST).exists():
        say(f"warning: {facts.folder / BEST} of epoch {progress.best_epoch} is not in this folder")
    if progress.epoch_done and not progress.evaluated:
        say(f"epoch {progress.epoch} was not evaluated before the stop: evaluating it first")
        evaluation.finish_epoch()
        if snapshot.path.parent.resolve() == facts.folder.resolve():
            snapshots.adopt(snapshot.sidecar)
            snapshots.mark_evaluated()


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


def announce(
    facts: RunFacts,
    config: Config,
    table: FaceTable,
    step: TrainStep,
    progress: Progress,
    device: str,
    say: Say,
) -> None:
    parameters = sum(p.size for p in step.network.trainable_params())
    versions = checkpoint.versions()
    say(
        f"{facts.folder}: {parameters:,} parameters, {len(table.splits['Training']):,} faces, "
        f"{progress.steps_per_epoch} steps of {config.training.batch_size} an epoch, "
        f"{config.training.epochs} epochs, seed {config.seed}; {device}, {runtime.cores()} cores, "
        f"MindSpore {versions['mindspore']}"
    )
    if progress.epoch == 0:
        return
    best = (
        f"best accuracy {progress.best_accuracy:.4f} at epoch {progress.best_epoch}, "
        f"{progress.epochs_since_best} epochs ago"
        if progress.best_accuracy is not None
        else "no epoch evaluated yet"
    )
    say(
        f"resumed: epoch {progress.epoch}, step {progress.step}/{progress.steps_per_epoch}; "
        f"{best}; {config.training.epochs - progress.epochs_done} epochs to go"
    )


def last_snapshot_line(folder: Path) -> str:
    path, _ = run_folder.newest_sound(folder)
    return f"The last snapshot, {path}, stands." if path else "There is no snapshot yet."


def continue_command(folder: Path) -> str:
    named = folder.parent.name == "checkpoints" and not folder.parent.is_absolute()
    where = f"--name {folder.name}" if named else f"--save_dir {folder}"
    return f"python src/train.py {where} --resume"


def stopped(folder: Path, progress: Progress, number: int, say: Say) -> int:
    say(
        f"stopped by {signal.Signals(number).name} after epoch {progress.epoch}, step "
        f"{progress.step}; {last_snapshot_line(folder)} To continue: {continue_command(folder)}"
    )
    return 128 + number


def finish(facts: RunFacts, config: Config, progress: Progress, step: TrainStep, say: Say) -> int:
    """Write the final model unless it stands, and say where everything is."""
    final = facts.folder / FINAL
    if is_written(final, progress):
        say(f"{facts.folder}: this run is finished; {finished_reason(progress, config)}")
    else:
        run_folder.save_model(final, "final", current_weights(step), progress, facts.model)
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
        _, sidecar = checkpoint.read_sound(final)
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
