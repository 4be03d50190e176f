"""A checkpoint -> a list of findings and a verdict; nothing in the file is trusted.

Each check looks at one thing and gives at most one finding. A check whose ground an earlier one
took away is left out, so that nothing is called good that was not seen.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import Config, ConfigError, Model
from ferspore.data.csv import load_csv
from ferspore.data.faces import FaceTable
from ferspore.data.practice import draw_faces
from ferspore.evaluation.evaluator import BATCH_SIZE, Evaluator, weights_in
from ferspore.evaluation.scores import softmax
from ferspore.files import WRITING
from ferspore.labels import EMOTIONS, FACE_SIZE, SPLITS
from ferspore.network.resnet import Architecture, architecture_of, initial_values
from ferspore.run.ckpt import Contents, UnsoundError, parse_ckpt
from ferspore.run.folder import list_snapshots
from ferspore.run.names import BEST, FINAL, METRICS, SNAPSHOT_NAME
from ferspore.run.progress import is_better
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sidecar

Level = Literal["PASS", "WARN", "FAIL"]
Kind = Literal["best", "final", "snapshot", "weights"]
Sidecar = ModelSidecar | SnapshotSidecar
Shapes = Mapping[str, tuple[int, ...]]

OF_A_TENSOR = re.compile(r"(moments|moment1|moment2|accum|stat|ema)\.(.+)")
OF_THE_OPTIMIZER = {"global_step", "momentum", "learning_rate", "beta1_power", "beta2_power"}
PROBE_FACES = 210  # drawn, thirty an emotion; noise fills the batch
UNIFORM = 1 / len(EMOTIONS) + 0.02  # a net as initialised gives its likeliest class up to 0.155
LARGEST = 1e6  # of a weight or statistic; trained ones stay below a thousand
NAMES_SHOWN = 3


class NoCheckpointError(ValueError):
    """A folder holds no checkpoint."""


@dataclass(frozen=True)
class Finding:
    """What one check saw; ``text`` also says what it means or what to do."""

    level: Level
    name: str
    text: str


@dataclass(frozen=True)
class Report:
    """All findings on one file. Accuracies are fractions, None where unknown."""

    path: str
    kind: Kind | None
    epoch: int | None
    recorded_accuracy: float | None
    measured_accuracy: float | None
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return not _at("FAIL", self.findings)

    @property
    def verdict(self) -> str:
        failed, warned = _at("FAIL", self.findings), _at("WARN", self.findings)
        if failed:
            return "NOT sound: " + ", ".join(finding.name for finding in failed)
        return f"sound, with {_count(len(warned), 'warning')}" if warned else "sound"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them, with the verdict."""
        return {**asdict(self), "sound": self.sound, "verdict": self.verdict}


def _at(level: Level, findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == level]


@dataclass(frozen=True)
class _Subject:
    """One file as far as it could be read, and what is known of it from beside it."""

    path: Path
    size: int
    contents: Contents
    whole: bool  # whether the file could be parsed to its end
    sidecar: Sidecar | None
    config: Config | None
    history: dict[int, dict[str, Any]]  # lines of metrics.jsonl by epoch

    @property
    def kind(self) -> Kind:
        if self.sidecar is not None:
            return self.sidecar.kind
        if self.path.name in (BEST, FINAL):
            return "best" if self.path.name == BEST else "final"
        is_snapshot = SNAPSHOT_NAME.fullmatch(self.path.name)
        return "snapshot" if is_snapshot else "weights"

    @property
    def epoch(self) -> int | None:
        if self.sidecar is not None:
            return self.sidecar.epoch
        inside = self.contents.info.get("epoch_num", self.contents.info.get("best_epoch"))
        return inside if isinstance(inside, int) else None

    @property
    def recorded_accuracy(self) -> float | None:
        """The validation accuracy of just these weights, as it was noted when they were saved."""
        if self.kind == "best":
            if "best_accuracy" in self.contents.info:
                return _number(self.contents.info["best_accuracy"])
            return self.sidecar.best_accuracy if self.sidecar else None
        history = self.history
        if isinstance(self.sidecar, SnapshotSidecar):
            history = _by_epoch(self.sidecar.history) if self.sidecar.evaluated else {}
        return _number(history.get(self.epoch, {}).get("val_accuracy"))


class Verifier:
    """Verifies files one after another; the compiled net and the faces serve them all.

    ``csv`` is a FER2013 file, where the accuracy shall be measured again.
    """

    def __init__(self, csv: Path | None = None):
        self.csv = csv
        self._evaluators: dict[Architecture, Evaluator] = {}
        self._tables: dict[str, FaceTable] = {}

    def verify(self, path: Path) -> Report:
        """Look at one file.

        Raises:
            FileNotFoundError: there is none.
            DataError: the CSV cannot be used.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            return _unread(path, Finding("FAIL", "file", f"it cannot be read: {error.strerror}"))
        if not content:
            text = "it is empty: nothing of a model is in it"
            return _unread(path, Finding("FAIL", "file", text))
        sidecar, matching = check_sidecar(path, content)
        contents, whole, parsing = check_format(content)
        findings = [Finding("PASS", "file", _bytes(len(content))), matching, parsing]
        if contents is None:
            return _unread(path, *findings)
        subject = _Subject(
            path=path,
            size=len(content),
            contents=contents,
            whole=whole,
            sidecar=sidecar,
            config=_config_in(sidecar),
            history=_history(path.parent / METRICS),
        )
        measured, found = self._look_inside(subject)
        return Report(
            path=str(path),
            kind=subject.kind,
            epoch=subject.epoch,
            recorded_accuracy=subject.recorded_accuracy,
            measured_accuracy=measured,
            findings=(*findings, *found),
        )

    def verify_folder(self, folder: Path) -> list[Report]:
        """Look at every checkpoint of a run.

        Raises:
            NoCheckpointError: there is none.
            DataError: the CSV cannot be used.
        """
        reports = []
        for path in checkpoints_in(folder):
            with suppress(FileNotFoundError):  # pruned meanwhile by a living trainer
                reports.append(self.verify(path))
        if not reports:
            raise NoCheckpointError(f"{folder}: no checkpoint (*.ckpt) is in this folder")
        return reports

    def _look_inside(self, subject: _Subject) -> tuple[float | None, list[Finding]]:
        """The measured accuracy, if any, and all findings on what was parsed."""
        architecture = _architecture(subject)
        if architecture is None:
            return None, [describe_foreign(subject.contents)]
        evaluator = self._evaluator(architecture)
        shapes = {name: p.shape for name, p in evaluator.parameters.items()}
        network, size = check_network(subject, shapes), check_size(subject, shapes)
        if network.level == "FAIL" or not subject.whole:
            return None, [network, *_at("FAIL", [size])]
        findings = [
            network,
            size,
            check_contents(subject, shapes),
            check_values(subject.contents.tensors),
        ]
        measured = None
        if not _at("FAIL", findings):
            measured, found = self._look_at_network(evaluator, subject, shapes)
            findings += found
        recorded = check_record(subject)
        return measured, [*findings, *([recorded] if recorded else [])]

    def _look_at_network(
        self, evaluator: Evaluator, subject: _Subject, shapes: Shapes
    ) -> tuple[float | None, list[Finding]]:
        """The measured accuracy, if any, and the findings on a complete and finite net."""
        _, weights = weights_in(subject.contents)
        evaluator.load(weights)
        seed = subject.config.seed if subject.config else None
        findings = [
            check_statistics(subject.contents.tensors),
            check_trained(weights, shapes, seed),
            check_predictions(evaluator.logits(probes()), subject.kind),
        ]
        if self.csv is None:
            return None, findings
        measured, found = self._measure(evaluator, subject)
        return measured, [*findings, found]

    def _evaluator(self, architecture: Architecture) -> Evaluator:
        if architecture not in self._evaluators:
            self._evaluators[architecture] = Evaluator(architecture)
        return self._evaluators[architecture]

    def _measure(self, evaluator: Evaluator, subject: _Subject) -> tuple[float, Finding]:
        usage = subject.config.data.val_usage if subject.config else "PublicTest"
        if isinstance(subject.sidecar, ModelSidecar) and subject.sidecar.usage in SPLITS:
            usage = subject.sidecar.usage
        if usage not in self._tables:
            self._tables[usage] = load_csv(self.csv, (usage,), report=lambda _: None)
        table = self._tables[usage]
        faces = table.splits[usage]
        accuracy = evaluator.score(faces).accuracy
        same_data = subject.sidecar is None or subject.sidecar.data.get("sha256") == table.sha256
        finding = check_accuracy(
            usage, accuracy, faces.labels, subject.recorded_accuracy, same_data=same_data
        )
        return accuracy, finding


def _unread(path: Path, *findings: Finding) -> Report:
    return Report(str(path), None, None, None, None, findings)


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole files of a run's folder: best, final, snapshots in their order, others."""
    snapshots = list_snapshots(folder)
    models = [folder / name for name in (BEST, FINAL)]
    found = [path for path in folder.glob("*.ckpt") if not path.name.startswith(WRITING)]
    others = sorted(set(found) - set(snapshots) - set(models))
    return [*(path for path in models if path in found), *snapshots, *others]


def best_of(reports: Iterable[Report]) -> Report | None:
    """The sound one of the highest accuracy (measured, else recorded), the first of equals."""
    known = [report for report in reports if report.sound and _accuracy(report) is not None]
    return max(known, key=_accuracy, default=None)


def _accuracy(report: Report) -> float | None:
    known = report.measured_accuracy
    return report.recorded_accuracy if known is None else known


# --- the file and what stands beside it -----------------------------------------------------------


def check_sidecar(path: Path, content: bytes) -> tuple[Sidecar | None, Finding]:
    """The sidecar where it is sound in itself, and whether the file is the one it describes."""
    try:
        sidecar = read_sidecar(path)
    except UnsoundError as error:
        missing = not path.with_suffix(".json").exists()
        is_snapshot = SNAPSHOT_NAME.fullmatch(path.name)
        meaning = "a resume passes it over" if is_snapshot else "the file is judged by itself"
        level = "WARN" if missing else "FAIL"
        return None, Finding(level, "sidecar", f"{error}; {meaning}")
    if len(content) != sidecar.bytes:
        fault = "cut short" if len(content) < sidecar.bytes else "not the file that was written"
        text = f"{len(content):,} bytes where the sidecar says {sidecar.bytes:,}: {fault}"
        return sidecar, Finding("FAIL", "sidecar", text)
    if hashlib.sha256(content).hexdigest() != sidecar.sha256:
        text = "the content is not what was written (sha256): damaged or replaced, same length"
        return sidecar, Finding("FAIL", "sidecar", text)
    text = f"{sidecar.kind}, sha256 {sidecar.sha256[:12]} and length agree"
    return sidecar, Finding("PASS", "sidecar", text)


def check_format(content: bytes) -> tuple[Contents | None, bool, Finding]:
    """What could be read, whether that is the whole file, and the finding."""
    try:
        contents = _parse(content)
        text = f"a MindSpore checkpoint of {_count(len(contents.tensors), 'tensor')}"
        return contents, True, Finding("PASS", "format", text)
    except UnsoundError as error:
        reason = str(error)
    end = whole_messages(content)
    try:
        contents = _parse(content[:end])
    except UnsoundError:
        begins = "" if end else f"; it begins with {content[:8]!r}"
        return None, False, Finding("FAIL", "format", _printable(reason + begins, 160))
    last = _printable([*contents.info, *contents.tensors][-1])
    text = f"cut short or damaged at byte {end:,} of {len(content):,}, in what follows {last}"
    return contents, False, Finding("FAIL", "format", text)


def _parse(content: bytes) -> Contents:
    try:
        return parse_ckpt(content)
    except ValueError as error:  # dimensions that numpy cannot hold
        raise UnsoundError(f"a tensor's shape is impossible ({error})") from error


def whole_messages(content: bytes) -> int:
    """Length of the longest beginning that consists of whole messages.

    A checkpoint is a sequence of protobuf fields 1 of wire type 2: the byte 0x0A, the length as
    a base-128 varint, the message (https://protobuf.dev/programming-guides/encoding).
    """
    end = 0
    while content[end : end + 1] == b"\x0a":
        length, position = 0, end + 1
        for shift in range(0, 64, 7):
            if position >= len(content):
                return end
            byte = content[position]
            length |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                break
        if position + length > len(content):
            return end
        end = position + length
    return end


def _config_in(sidecar: Sidecar | None) -> Config | None:
    if sidecar is None:
        return None
    try:
        return config_from_dict(sidecar.config, "the sidecar's configuration")
    except ConfigError:
        return None


def _history(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a metrics.jsonl by epoch; those that cannot be read are left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return _by_epoch(records)


def _by_epoch(records: Iterable[Any]) -> dict[int, dict[str, Any]]:
    return {
        record["epoch"]: record
        for record in records
        if isinstance(record, dict) and isinstance(record.get("epoch"), int)
    }


# --- what is in it ----------------------------------------------------------------------------


def _architecture(subject: _Subject) -> Architecture | None:
    """The net that the file should hold: the sidecar's word, else from the shapes."""
    shapes = {name: value.shape for name, value in subject.contents.tensors.items()}
    if subject.config and ("stem.0.weight" in shapes or not subject.whole):
        model = subject.config.model
        return Architecture(model.width, model.blocks, model.squeeze_excite)
    try:
        found = architecture_of(shapes)
        # within the bounds of a configuration, before anything of that size is built
        return found and Architecture(**Model(**asdict(found)).model_dump())
    except ValueError:
        return None


def describe_foreign(contents: Contents) -> Finding:
    """What a checkpoint looks like that is not of this project's network."""
    total = sum(value.size for value in contents.tensors.values())
    shapes = [f"{name} {value.shape}" for name, value in contents.tensors.items()]
    beginning = all(name.startswith(("normalize.", "stem.")) for name in contents.tensors)
    what = "only the beginning of a network" if beginning else "not one of ours"
    tensors = _count(len(contents.tensors), "tensor")
    text = f"{what}: {tensors}, {_count(total, 'parameter')}: {_some(shapes)}"
    return Finding("FAIL", "network", text)


def check_network(subject: _Subject, shapes: Shapes) -> Finding:
    """Whether every parameter of the net is there with its shape, and nothing unexpected."""
    tensors = subject.contents.tensors
    missing = [name for name in shapes if name not in tensors]
    other = [
        f"{name} {tensors[name].shape} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != tuple(shape)
    ]
    unknown = [name for name in tensors if name not in shapes and not _is_optimizer_state(name)]
    no_floats = [name for name in shapes if name in tensors and tensors[name].dtype.kind != "f"]
    share = sum(math.prod(shapes[name]) for name in missing) / _parameters(shapes)
    of_all = f"{len(missing)} of {len(shapes)} tensors ({share:.0%})"
    if subject.config is None:  # then the net is known from this very file
        of_all = f"at least {_count(len(missing), 'tensor')}"
    faults = [
        (f"incomplete, {of_all} missing", missing),
        (f"{_count(len(other), 'other shape')}: another model's file", other),
        (f"{_count(len(unknown), 'tensor')} not of this model", unknown),
        (f"{_count(len(no_floats), 'tensor')} not of floating point", no_floats),
    ]
    if texts := [f"{what}: {_some(names)}" for what, names in faults if names]:
        return Finding("FAIL", "network", "; ".join(texts))
    text = f"all {len(shapes)} tensors ({_parameters(shapes):,} parameters) are there, in shape"
    halved = [name for name in shapes if tensors[name].dtype != np.float32]
    if halved:
        types = sorted({str(tensors[name].dtype) for name in halved})
        return Finding("WARN", "network", f"{text}, but of type {', '.join(types)}")
    return Finding("PASS", "network", text)


def _is_optimizer_state(name: str) -> bool:
    return name in OF_THE_OPTIMIZER or OF_A_TENSOR.fullmatch(name) is not None


def _parameters(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def check_size(subject: _Subject, shapes: Shapes) -> Finding:
    """The file's length against 4 bytes a parameter (fewer in half precision)."""
    tensors = subject.contents.tensors
    weights = sum(
        math.prod(shape) * (tensors[name].itemsize if name in tensors else 4)
        for name, shape in shapes.items()
    )
    ratio = f"{subject.size / weights:.2f} times the {_bytes(weights)} of the weights alone"
    text = f"{_bytes(subject.size)}, {ratio}"
    if subject.size < weights:
        return Finding("FAIL", "size", f"{text}: too small to hold them")
    rest = subject.size - sum(value.nbytes for value in tensors.values())
    if subject.whole and rest > 1000 * len(tensors):  # a name and a shape take some 60 bytes
        return Finding("WARN", "size", f"{text}; {_bytes(rest)} are of no tensor")
    return Finding("PASS", "size", text)


def _optimizer_names(contents: Contents) -> list[str]:
    return [name for name in contents.tensors if _is_optimizer_state(name)]


def check_contents(subject: _Subject, shapes: Shapes) -> Finding:
    """Weights alone or the optimizer's state too, against what the kind of file is for."""
    names = _optimizer_names(subject.contents)
    groups = sorted({name.split(".")[0] for name in names})
    if not names:
        if subject.kind == "snapshot":
            text = "weights alone: a snapshot without optimizer state cannot be resumed"
            return Finding("WARN", "contents", text)
        return Finding("PASS", "contents", "weights alone, as a model for use should be")
    if faults := _incomplete_groups(subject.contents, shapes):
        return Finding("FAIL", "contents", f"optimizer state: {'; '.join(faults)}")
    inside = f"weights and optimizer state ({', '.join(groups)})"
    if subject.kind in ("best", "final"):
        extra = sum(subject.contents.tensors[name].nbytes for name in names)
        text = f"{inside}: {_bytes(extra)} too large, only a resume needs that"
        return Finding("WARN", "contents", text)
    return Finding("PASS", "contents", f"{inside}, as a snapshot to resume from has")


def _incomplete_groups(contents: Contents, shapes: Shapes) -> list[str]:
    """Where a group of the optimizer's tensors is not one for each that is trained."""
    groups: dict[str, set[str]] = {}
    faults = []
    for name, value in contents.tensors.items():
        if not (found := OF_A_TENSOR.fullmatch(name)):
            continue
        group, of = found.groups()
        groups.setdefault(group, set()).add(of)
        if of not in shapes or value.shape != tuple(shapes[of]):
            faults.append(f"{_printable(name)} {value.shape} belongs to no weight")
    for group, names in groups.items():
        belongs = _is_averaged if group == "ema" else _is_trained
        due = [name for name in shapes if belongs(name)]
        if missing := [f"{group}.{name}" for name in due if name not in names]:
            faults.append(f"{len(missing)} missing: {_some(missing)}")
    return faults


def _is_averaged(name: str) -> bool:
    return not name.startswith("normalize.")


def _is_trained(name: str) -> bool:
    return _is_averaged(name) and not name.endswith((".moving_mean", ".moving_variance"))


def check_values(tensors: Mapping[str, np.ndarray]) -> Finding:
    """NaN, infinities, kernels that are all one value, numbers beyond reason."""
    bad, flat, huge = [], [], []
    for name, value in tensors.items():
        if value.dtype.kind != "f" or value.size == 0:
            continue
        if count := int(np.count_nonzero(~np.isfinite(value))):
            bad.append(f"{name} ({count:,} of {value.size:,})")
        elif _is_kernel(name, value) and value.min() == value.max():
            flat.append(f"{name} (all {value.flat[0]:g})")
        elif np.abs(value).max() > LARGEST:
            huge.append(f"{name} ({np.abs(value).max():.3g})")
    if bad:
        text = f"NaN or infinite in {_some(bad)}: it cannot predict; take an earlier checkpoint"
        return Finding("FAIL", "values", text)
    if flat:
        return Finding("FAIL", "values", f"wiped, one value throughout: {_some(flat)}")
    if huge:
        return Finding("WARN", "values", f"beyond reason, a flipped bit or diverged: {_some(huge)}")
    return Finding("PASS", "values", "all finite, no kernel is constant")


def _is_kernel(name: str, value: np.ndarray) -> bool:
    """Convolution and dense kernels: moments and vectors may well be all zero."""
    found = OF_A_TENSOR.fullmatch(name)
    return value.ndim > 1 and (found is None or found[1] == "ema")


def check_statistics(tensors: Mapping[str, np.ndarray]) -> Finding:
    """Batch statistics and the normalisation of the faces."""
    variances = {
        name: value for name, value in tensors.items() if name.endswith(".moving_variance")
    }
    if negative := [name for name, value in variances.items() if (value < 0).any()]:
        text = f"negative variance in {_some(negative)}: impossible, the file is damaged"
        return Finding("FAIL", "statistics", text)
    deviation = tensors["normalize.deviation"].item()
    if not deviation > 0:
        text = f"normalize.deviation is {deviation:g}, expected grey values above 0"
        return Finding("FAIL", "statistics", text)
    untouched = [
        name
        for name, variance in variances.items()
        if (variance == 1).all() and not tensors[name.replace("variance", "mean")].any()
    ]
    if untouched:
        text = f"never updated (mean 0, variance 1): {_some(untouched)}"
        return Finding("FAIL", "statistics", text)
    return Finding("PASS", "statistics", "batch statistics were updated, no variance is negative")


def check_trained(weights: Mapping[str, np.ndarray], shapes: Shapes, seed: int | None) -> Finding:
    """How many tensors still have the values that they started from.

    ``shapes`` is in the order of the net's parameters, in which the values were drawn. Without
    the ``seed`` only batch-norm scales and shifts and biases are known: they start at 0 or 1.
    """
    starts = {name: np.zeros(shape) for name, shape in shapes.items() if name.endswith(".beta")}
    starts |= {name: np.ones(shape) for name, shape in shapes.items() if name.endswith(".gamma")}
    drawn = initial_values(shapes, seed or 0)
    starts |= {n: value for n, value in drawn.items() if seed is not None or value.ndim == 1}
    still = [name for name, start in starts.items() if np.array_equal(weights[name], start)]
    known = f"the first values of seed {seed}" if seed is not None else "their first 0 or 1"
    if len(still) == len(starts):
        text = f"all {len(starts)} tensors still have {known}: it was never trained"
        return Finding("FAIL", "trained", text)
    if still:
        text = f"{len(still)} of {len(starts)} tensors still have {known}: {_some(still)}"
        return Finding("WARN", "trained", text)
    return Finding("PASS", "trained", f"all {len(starts)} tensors have moved from {known}")


# --- what it does -----------------------------------------------------------------------------


def probes() -> np.ndarray:
    """One batch of fixed inputs, uint8 (N,48,48): drawn faces of all emotions, then noise."""
    rng = np.random.default_rng(0)
    faces, _ = draw_faces(PROBE_FACES, rng)
    noise = rng.integers(0, 256, (BATCH_SIZE - PROBE_FACES, FACE_SIZE, FACE_SIZE), np.uint8)
    return np.concatenate([faces, noise])


def check_predictions(logits: np.ndarray, kind: Kind) -> Finding:
    """Whether the answers (N,7) to the probes are an opinion, and not always the same."""
    if not np.isfinite(logits).all():
        return Finding("FAIL", "predictions", "NaN or infinite: the weights are out of range")
    classes = np.bincount(logits.argmax(axis=1), minlength=len(EMOTIONS))
    likeliest = softmax(logits).max(axis=1)
    seen = f"on {len(logits)} fixed inputs"
    if likeliest.max() < UNIFORM:
        text = f"uniform {seen}, no class above {likeliest.max():.3f}: as good as never trained"
        return Finding("FAIL", "predictions", text)
    if (classes > 0).sum() == 1:
        text = f"{EMOTIONS[classes.argmax()]!r} {seen}, whatever it sees: collapsed"
        if kind == "snapshot":
            return Finding("WARN", "predictions", f"{text}, or early in its training")
        return Finding("FAIL", "predictions", text)
    said = ", ".join(f"{name} {n}" for name, n in zip(EMOTIONS, classes, strict=True) if n)
    return Finding("PASS", "predictions", f"{seen}: {said}")


def check_accuracy(
    usage: str, measured: float, labels: np.ndarray, recorded: float | None, *, same_data: bool
) -> Finding:
    """The accuracy on a split with ``labels`` (N,) against the recorded one, within one face."""
    count = len(labels)
    text = f"{usage}: {measured:.4f} on {count:,} faces"
    most = np.bincount(labels, minlength=len(EMOTIONS))
    if recorded is not None:
        apart = abs(measured - recorded) * count
        if apart >= 1.5:
            faces = f"recorded is {recorded:.4f}, {apart:,.0f} faces apart"
            if not same_data:
                meaning = "the CSV is not the one of the run"
                return Finding("WARN", "accuracy", f"{text}, {faces}: {meaning}")
            return Finding("FAIL", "accuracy", f"{text}, {faces}: not the weights recorded")
        text += ", as recorded"
    else:
        text += ", nothing recorded to compare it with"
    if measured * count <= most.max():
        always = EMOTIONS[most.argmax()]
        return Finding("WARN", "accuracy", f"{text}; no better than always saying {always!r}")
    return Finding("PASS", "accuracy", text)


def check_record(subject: _Subject) -> Finding | None:
    """Best accuracy and epoch inside the file, in its sidecar and in metrics.jsonl."""
    info, sidecar = subject.contents.info, subject.sidecar
    told: dict[str, tuple[float, float]] = {}
    if "best_accuracy" in info and "best_epoch" in info:
        told["the file"] = (info["best_accuracy"], info["best_epoch"])
    if sidecar is not None and sidecar.best_accuracy is not None and sidecar.best_epoch is not None:
        told["its sidecar"] = (sidecar.best_accuracy, sidecar.best_epoch)
    if not told:
        return None
    accuracy, epoch = next(iter(told.values()))
    text = f"best accuracy {accuracy:.4f} at epoch {epoch:g}"
    if not (0 <= accuracy <= 1 and epoch >= 0):
        return Finding("FAIL", "record", f"{text}: expected a fraction in 0..1, and an epoch")
    if any(not _same(pair, (accuracy, epoch)) for pair in told.values()):
        other, at = told["its sidecar"]
        text = f"{text} in the file, {other:.4f} at {at} in its sidecar: not written together"
        return Finding("FAIL", "record", text)
    if subject.history:
        line = subject.history.get(epoch, {})
        known = _number(line.get("val_accuracy"))
        if known is None or not _same((known, epoch), (accuracy, epoch)):
            said = "has no such epoch" if known is None else f"says {known:.4f}"
            text += f", but {METRICS} {said}: another run, or one taken up further back"
            return Finding("WARN", "record", text)
        if subject.kind == "best" and (better := _better(subject, line)):
            text += f", but epoch {better} is better in {METRICS}: not the run's best"
            return Finding("FAIL", "record", text)
        told[METRICS] = (accuracy, epoch)
    return Finding("PASS", "record", f"{text}, in {' and '.join(told)}")


def _same(pair: tuple[float, float], other: tuple[float, float]) -> bool:
    return pair[1] == other[1] and math.isclose(pair[0], other[0], abs_tol=1e-6)


def _better(subject: _Subject, line: Mapping[str, Any]) -> int | None:
    """The first epoch of metrics.jsonl that improves on ``line`` by what the run monitors."""
    monitor = subject.config.training.monitor if subject.config else "val_accuracy"
    best = _number(line.get(monitor))
    for epoch, other in subject.history.items():
        value = _number(other.get(monitor))
        if value is not None and best is not None and is_better(monitor, value, best):
            return epoch
    return None


def _number(value: Any) -> float | None:
    """The value where JSON can take it as a float: no NaN, no infinity, no endless integer."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None


# --- in words ---------------------------------------------------------------------------------


def format_report(report: Report, paint: Mapping[str, str] | None = None) -> str:
    """A line a finding, aligned, then the verdict; ``paint`` gives each level's escape code."""
    width = max(len(finding.name) for finding in report.findings)
    lines = [
        f"{_painted(finding.level, paint)}  {finding.name:<{width}}  {finding.text}"
        for finding in report.findings
    ]
    return "\n".join([report.path, *lines, _painted(report.verdict, paint, _worst(report))])


def format_table(reports: list[Report], paint: Mapping[str, str] | None = None) -> str:
    """A line a checkpoint, the first fault of each, which is the best, and the verdict."""
    best = best_of(reports)
    header = ("", "checkpoint", "kind", "epoch", "recorded", "measured")
    rows = [header] + [
        (
            "*" if report is best else "",
            _printable(Path(report.path).name),
            report.kind or "-",
            "-" if report.epoch is None else str(report.epoch),
            _fraction(report.recorded_accuracy),
            _fraction(report.measured_accuracy),
        )
        for report in reports
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    states = ["state"] + [_state(report, paint) for report in reports]
    lines = [
        "  ".join([*map(str.ljust, row[:3], widths), *map(str.rjust, row[3:], widths[3:]), state])
        for row, state in zip(rows, states, strict=True)
    ]
    unsound = sum(not report.sound for report in reports)
    verdict = f"{_count(len(reports), 'checkpoint')}: {len(reports) - unsound} sound"
    if unsound:
        verdict += f", {unsound} NOT sound"
    if best is not None:
        name = _printable(Path(best.path).name)
        verdict += f"; * the best is {name}, accuracy {_accuracy(best):.4f}"
    return "\n".join([*lines, _painted(verdict, paint, "FAIL" if unsound else "PASS")])


def _state(report: Report, paint: Mapping[str, str] | None) -> str:
    """The verdict, with the first finding that is no PASS."""
    worst = _worst(report)
    reasons = "" if worst == "PASS" else f" ({_at(worst, report.findings)[0].text})"
    return _painted(report.verdict, paint, worst) + reasons


def _worst(report: Report) -> Level:
    return next((level for level in ("FAIL", "WARN") if _at(level, report.findings)), "PASS")


def _painted(text: str, paint: Mapping[str, str] | None, level: Level | None = None) -> str:
    return f"{paint[level or text]}{text}\x1b[0m" if paint else text


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(map(_printable, names[:NAMES_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


def _printable(text: str, length: int = 80) -> str:
    """Text from a file without control characters, which could take over the terminal."""
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return plain if len(plain) <= length else plain[:length] + "..."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _bytes(number: int) -> str:
    if number < 10_000:
        return _count(number, "byte")
    return f"{number / 1e3:.0f} KB" if number < 1e6 else f"{number / 1e6:.2f} MB"
