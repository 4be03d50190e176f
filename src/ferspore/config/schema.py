"""Every key of a configuration, its type, bounds and default: one frozen, validated `Config`."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)

MAX_STAGES = 100


class ConfigError(ValueError):
    """What is wrong with a configuration: every fault that was found, one a line."""


def _folder_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", value) or value in (".", ".."):
        raise ValueError("a folder's name of letters, digits, '.', '_' and '-'")
    return value


def _stage_name(value: str) -> str:
    if value in ("config.yaml", "ranks", "run.lock") or value.startswith(".writing-"):
        raise ValueError("another name: the run's own folder has a file or folder of this one")
    if value.endswith(".ckpt"):
        raise ValueError("a name that does not end in .ckpt, as that of a checkpoint does")
    return value


def _selecting_split(value: str) -> str:
    if value != "PublicTest":
        raise ValueError(
            "'PublicTest': training never uses PrivateTest; ferspore evaluate --usage "
            "PrivateTest scores a trained model on it"
        )
    return value


# Strict a type, not a model: a strict model would refuse the plain dicts and lists of a file.
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Field(pattern=r"^[^\p{Cc}\u2028\u2029]+$")]
Name = Annotated[str, Strict(), AfterValidator(_folder_name)]
StageName = Annotated[Name, AfterValidator(_stage_name)]
Count = Annotated[Int, Field(ge=0)]
Positive = Annotated[Int, Field(ge=1)]
NonNegative = Annotated[Float, Field(ge=0)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]
Seed = Annotated[Int, Field(ge=0, le=2**32 - 1)]
Channels = Annotated[Int, Field(ge=4, le=2048)]
Shift = Annotated[Float, Field(ge=0, le=24)]  # pixels along each axis
StageBlocks = Annotated[Int, Field(ge=1, le=8)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Frozen):
    """The faces: a FER2013 CSV (a path, kept as it is given; or "practice"), and how it is read."""

    csv: Text | None = None
    val_usage: Annotated[str, Strict(), AfterValidator(_selecting_split)] = "PublicTest"
    face_size: Annotated[Int, Field(ge=16, le=48)] = 48  # pixels a side that the net sees
    skip_bad_rows: Bool = False
    cache: Bool = True
    workers: Annotated[Int, Field(ge=1, le=64)] = 1  # threads that make batches


class Model(_Frozen):
    """The ResNet: its stem, channels and residual blocks of each stage.

    ``width`` is short for ``channels`` that double from stage to stage; one of the two is None.
    """

    stem: Literal["3x3", "5x5"] = "3x3"
    width: Annotated[Int, Field(ge=4, le=256)] | None = 32
    channels: Annotated[tuple[Channels, ...], Field(min_length=1, max_length=4)] | None = None
    blocks: Annotated[tuple[StageBlocks, ...], Field(min_length=1, max_length=4)] = (1, 1, 1)
    squeeze_excite: Bool = False

    @model_validator(mode="before")
    @classmethod
    def _channels_alone(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("channels") is not None:
            return {"width": None} | given
        return given

    def architecture(self) -> dict[str, Any]:
        """The fields of the net's ``Architecture``."""
        channels = self.channels or tuple(
            (self.width or 0) * 2**stage for stage in range(len(self.blocks))
        )
        return {
            "stem": self.stem,
            "channels": channels,
            "blocks": self.blocks,
            "squeeze_excite": self.squeeze_excite,
        }


class Training(_Frozen):
    """Length, optimizer and regularisation. 0 switches mixup_alpha, ema_decay and patience off."""

    epochs: Annotated[Int, Field(ge=1, le=10_000)] = 40  # the schedule of all steps is in memory
    batch_size: Annotated[Int, Field(ge=2, le=1_000_000)] = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[Float, Field(gt=0)] = 0.1
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 5e-4
    warmup_epochs: Annotated[Float, Field(ge=0, le=10_000)] = 2.0
    label_smoothing: Fraction = 0.1
    mixup_alpha: NonNegative = 0.0
    ema_decay: Fraction = 0.999
    amp_level: Literal["O0", "O2", "O3"] = "O0"  # as mindspore.amp.auto_mixed_precision
    amp_dtype: Literal["float16", "bfloat16"] = "float16"  # of O2 and O3
    patience: Count = 0  # epochs without an improvement
    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    teachers: tuple[Text, ...] = ()  # checkpoints whose predictions are learned, too
    teacher_weight: Annotated[Float, Field(gt=0, le=1)] = 0.9  # of their term in the loss
    teacher_temperature: Annotated[Float, Field(ge=0.01, le=100)] = 1.0  # its square is finite
    losses_every: Positive = 1  # steps after which the losses are fetched from the device

    @field_validator("momentum")
    @classmethod
    def _beta1_of_adamw(cls, value: float, others: ValidationInfo) -> float:
        if value == 0 and others.data.get("optimizer") == "adamw":
            raise ValueError("a number above 0 with adamw, whose beta1 it is")
        return value


class Augment(_Frozen):
    """Augmentation: shift in pixels, rotation in degrees, erasing as a probability."""

    flip: Bool = True
    shift: Shift = 4.0
    rotation: Annotated[Float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[Float, Field(ge=0, le=0.5)] = 0.0
    erasing: Annotated[Float, Field(ge=0, le=1)] = 0.0


class FinalPhase(_Frozen):
    """The last epochs of a run: augmentation is the flip and this shift, no mixup. 0: none."""

    epochs: Count = 0
    shift: Shift = 2.0
    label_smoothing: Fraction = 0.05


class Checkpoint(_Frozen):
    """Rolling snapshots: how many are kept, steps between them (0: at the ends of epochs only)."""

    keep_checkpoint_max: Annotated[Int, Field(ge=1, le=1_000_000)] = 5
    save_checkpoint_steps: Annotated[Int, Field(ge=0, le=1_000_000_000)] = 0


class Logging(_Frozen):
    """TensorBoard event files and the progress bar."""

    tensorboard: Bool = False
    progress: Bool = True


class Stage(_Frozen):
    """One stage of a run; in its sections only the keys that were given (fields set) override.

    `==` does not see which keys were given: compare with `differences`.
    """

    name: StageName
    init_from: Text | None = None  # an earlier stage or a .ckpt file
    seed: Seed | None = None
    data: Data | None = None
    model: Model | None = None
    training: Training | None = None
    augment: Augment | None = None
    final_phase: FinalPhase | None = None
    checkpoint: Checkpoint | None = None
    logging: Logging | None = None

    def overrides(self) -> dict[str, Any]:
        """What the stage changes: a plain nested dict of the keys that it names."""
        given = self.model_dump(mode="json", exclude_unset=True, exclude={"name", "init_from"})
        return {key: value for key, value in given.items() if value not in (None, {})}

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a file."""
        source = {} if self.init_from is None else {"init_from": self.init_from}
        return {"name": self.name} | source | self.overrides()


class Config(_Frozen):
    """Every value of a run. Built by `load_config` or `config_from_dict`."""

    name: Name = "fer2013"
    seed: Seed = 1
    init_from: Text | None = None  # weights to start from: a .ckpt; in a stage also an earlier one
    device: Literal["CPU", "GPU", "Ascend"] | None = None  # None: Ascend if there is one, else CPU
    device_id: Count | None = None  # None: the first, or the one that a launcher assigns
    tf32: Bool = False  # float32 products in TF32 (GPU) or HF32 (Ascend)
    jit_level: Literal["O0", "O1", "O2"] | None = None  # Ascend: O2 is GE; None: MindSpore chooses
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()
    augment: Augment = Augment()
    final_phase: FinalPhase = FinalPhase()
    checkpoint: Checkpoint = Checkpoint()
    logging: Logging = Logging()
    stages: Annotated[tuple[Stage, ...], Field(max_length=MAX_STAGES)] = ()

    @field_validator("model")
    @classmethod
    def _complete(cls, model: Model) -> Model:
        # Not a check of Model itself: a stage's model holds only the keys that it changes.
        if (model.width is None) == (model.channels is None):
            raise ValueError("either width or channels")
        if len(model.channels or model.blocks) != len(model.blocks):
            raise ValueError("as many channels as blocks, one of each for a stage")
        return model

    @field_validator("training")
    @classmethod
    def _has_kernels(cls, training: Training) -> Training:
        if training.amp_level == "O3" and training.amp_dtype == "bfloat16":
            raise ValueError("amp_level 'O2' with bfloat16, which MindSpore's batch-norm lacks")
        return training

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dict that JSON and YAML can hold, tuples as lists."""
        tree = self.model_dump(mode="json", exclude={"stages"})
        return tree | {"stages": [stage.to_dict() for stage in self.stages]}


SECTIONS: dict[str, type[_Frozen]] = {
    key: field.annotation
    for key, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Frozen)
}
