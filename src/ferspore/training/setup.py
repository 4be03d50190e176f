"""Configuration and CSV -> everything that a run needs before its first step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore
import numpy as np
from mindspore import JitConfig, Tensor

from ferspore import runtime
from ferspore.cluster import role
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import without_folders
from ferspore.data.augment import Augmentation
from ferspore.data.batches import Batches
from ferspore.data.faces import Faces, FaceTable
from ferspore.data.resize import resize
from ferspore.network.distillation import DistillationStep, Teachers
from ferspore.network.parallel import ALONE, Across, Ranks
from ferspore.network.precision import in_precision
from ferspore.network.resnet import Architecture, build_network
from ferspore.network.schedule import learning_rate
from ferspore.network.step import Schedule, StepSettings, TrainStep
from ferspore.run.sidecar import Facts, SnapshotSidecar
from ferspore.tables import Say
from ferspore.training.faces import check_shares
from ferspore.training.teachers import Teacher, load_teachers

# Of Training, the first, for its accuracy after each epoch: 0.7% of an epoch's time in the default
# configuration on a CPU; the standard error is at most 0.018.
SEEN_FACES = 768
# jit_level -> what runs the graph (MindSpore's documentation)
BACKENDS = {None: "default", "O0": "ms_backend O0", "O1": "ms_backend O1", "O2": "GE"}


@dataclass(frozen=True, eq=False)
class Setup:
    """A run before it is resumed or started. ``rate`` gives the learning rate of a global step."""

    config: Config
    device: str
    table: FaceTable
    batches: Batches
    rate: Callable[[int], float]
    step: TrainStep
    teachers: tuple[Teacher, ...] = ()
    ranks: Ranks = ALONE

    @property
    def validation_faces(self) -> Faces:
        return self.table.splits[self.config.data.val_usage]

    @property
    def seen_faces(self) -> Faces:
        """A fixed part of the faces that are trained on, as they are in the CSV."""
        faces = self.table.splits["Training"]
        return Faces(faces.images[:SEEN_FACES], faces.labels[:SEEN_FACES])


def set_up(
    config: Config,
    device: str,
    table: FaceTable,
    going_on: SnapshotSidecar | None,
    say: Say,
    ranks: Ranks = ALONE,
) -> Setup:
    """
    Raises:
        ConfigError: the user's input.
        RefusalError: the teachers are not those of the run ``going_on``, or cannot be.
    """
    teachers = teachers_of(config, going_on, say)
    check_shares(config, ranks.size)
    batches = build_batches(config, table, ranks)
    rate = schedule_of(config, batches.steps_per_epoch)
    step = build_step(config, table, rate, batches.steps_per_epoch, teachers, ranks)
    return Setup(config, device, table, batches, rate, step, teachers, ranks)


def choose_device(config: Config, say: Say) -> str:
    """
    Raises:
        ConfigError, DeviceError: the user's input.
    """
    if role() is None:
        device, lines = runtime.select_device(
            config.device, device_id=config.device_id, tf32=config.tf32
        )
        for line in lines:
            say(line)
    else:
        device = joined_on(config)
    training = config.training
    if device == "CPU" and training.amp_level != "O0":
        if training.amp_dtype == "bfloat16":
            raise ConfigError(
                "training.amp_dtype: received 'bfloat16', which MindSpore has on Ascend (A2 and "
                "later); on the CPU expected 'float16', or amp_level 'O0'"
            )
        say("float16 on the CPU is slower than float32: use it only for trials")
    if device != "Ascend" and config.jit_level == "O2":
        raise ConfigError(f"jit_level: received 'O2' on {device}; its backend GE is for Ascend")
    return device


def joined_on(config: Config) -> str:
    """The device on which the ranks have joined, which cannot change any more.

    Raises:
        ConfigError: the run is to have another.
    """
    device = mindspore.get_context("device_target")
    if config.device not in (None, device):
        raise ConfigError(
            f"device: the run has {config.device!r}, the ranks were started on {device}: give "
            f"--device_target {config.device} to each of them"
        )
    return device


def hardware_of(config: Config, device: str) -> dict[str, str]:
    """Device, drivers and settings, as they stand in a snapshot's sidecar."""
    training = config.training
    return {
        **runtime.device_facts(device),
        "backend": BACKENDS[config.jit_level],
        "precision": "float32"
        if training.amp_level == "O0"
        else f"{training.amp_level} {training.amp_dtype}",
        "tf32": "on" if config.tf32 else "off",
    }


def teachers_of(config: Config, going_on: SnapshotSidecar | None, say: Say) -> tuple[Teacher, ...]:
    """
    Raises:
        RefusalError: see ``load_teachers``.
    """
    known = None if going_on is None else going_on.teachers
    return load_teachers(config.training.teachers, config.data.face_size, known, say)


def build_batches(config: Config, table: FaceTable, ranks: Ranks = ALONE) -> Batches:
    faces = table.splits["Training"]
    if len(faces) < config.training.batch_size:
        raise ConfigError(
            f"training.batch_size: received {config.training.batch_size}, more than the "
            f"{len(faces)} faces of Training"
        )
    return Batches(
        Faces(resize(faces.images, config.data.face_size), faces.labels),
        seed=config.seed,
        batch_size=config.training.batch_size,
        augmentation=augmentation_of(config),
        mixes=config.training.mixup_alpha > 0,
        rank=ranks.rank,
        ranks=ranks.size,
    )


def augmentation_of(config: Config) -> Callable[[int], Augmentation]:
    """Epoch (1-based) -> augmentation of this run."""
    training, final = config.training, config.final_phase
    most = Augmentation(
        **config.augment.model_dump(),
        mixup_alpha=training.mixup_alpha,
        label_smoothing=training.label_smoothing,
    )
    last = Augmentation(
        flip=config.augment.flip, shift=final.shift, label_smoothing=final.label_smoothing
    )
    return lambda epoch: last if epoch > training.epochs - final.epochs else most


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
    return Architecture(**config.model.architecture())


def build_step(
    config: Config,
    table: FaceTable,
    rate: Callable[[int], float],
    steps_per_epoch: int,
    teachers: Sequence[Teacher] = (),
    ranks: Ranks = ALONE,
) -> TrainStep:
    network = build_network(architecture_in(config), config.seed)
    images = table.splits["Training"].images
    network.normalize.mean.set_data(Tensor(np.array([images.mean()], np.float32)))
    network.normalize.deviation.set_data(Tensor(np.array([max(images.std(), 1.0)], np.float32)))
    level, dtype = config.training.amp_level, config.training.amp_dtype
    network = in_precision(network, level, dtype)
    settings = StepSettings(
        optimizer=config.training.optimizer,
        momentum=config.training.momentum,
        weight_decay=config.training.weight_decay,
        ema_decay=config.training.ema_decay,
        scaled=level != "O0" and dtype == "float16",
    )
    schedule = Schedule(rate, config.training.epochs * steps_per_epoch)
    across = None if ranks.alone else Across(network, ranks.size)
    if teachers:
        taught = Teachers([t.network for t in teachers], config.training.teacher_temperature)
        weight = config.training.teacher_weight
        step: TrainStep = DistillationStep(network, settings, schedule, taught, weight, across)
    else:
        step = TrainStep(network, settings, schedule, across=across)
    if config.jit_level is not None:
        step.set_jit_config(JitConfig(jit_level=config.jit_level))
    return step


def facts_of(setup: Setup, run: str, stage: str | None, command: str) -> Facts:
    """What the sidecars say; those of best and final models name no path."""
    config, table = setup.config, setup.table
    values = config.to_dict()
    source = values["data"]["csv"]
    if source != "practice":
        values["data"]["csv"] = str(table.path.resolve())
    data = {"csv": values["data"]["csv"], "sha256": table.sha256, "counts": table.counts}
    digests = [teacher.sha256 for teacher in setup.teachers]
    return Facts(
        run=run,
        face_size=config.data.face_size,
        snapshot={
            "config": values,
            "data": data,
            "teachers": digests,
            "stage": stage,
            "command": command,
            "cores": runtime.cores(),
            "world_size": setup.ranks.size,
            "hardware": hardware_of(config, setup.device),
        },
        model={
            "config": without_folders(config).to_dict(),
            "data": {"csv": Path(source).name, "sha256": table.sha256},
            "teachers": digests,
            "usage": config.data.val_usage,
            "command": command,
        },
    )
