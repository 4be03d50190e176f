"""A checkpoint -> the findings of all checks, in their order; nothing in the file is trusted.

Each check looks at one thing. A check whose precondition another one found unmet is left out, so
nothing passes that was not seen.
"""

from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from ferspore.data.csv import load_csv
from ferspore.data.views import with_views
from ferspore.evaluation.evaluator import (
    Evaluator,
    architecture_in,
    face_size_of,
    refuse_too_large,
    weights_in,
)
from ferspore.evaluation.probes import probes
from ferspore.files import WRITING
from ferspore.labels import SPLITS
from ferspore.network.resnet import Architecture
from ferspore.run.ckpt import UnsoundError
from ferspore.run.folder import list_snapshots
from ferspore.run.names import BEST, FINAL, METRICS
from ferspore.run.sidecar import ModelSidecar
from ferspore.verification.behaviour_checks import (
    check_accuracy,
    check_predictions,
    check_record,
    check_variety,
)
from ferspore.verification.file_checks import check_file, check_format, check_sidecar
from ferspore.verification.findings import Finding, NoCheckpointError, Report
from ferspore.verification.subject import Shapes, Subject, config_in, epochs_in
from ferspore.verification.weight_checks import (
    check_contents,
    check_network,
    check_size,
    check_statistics,
    check_trained,
    check_values,
    describe_foreign,
)

Measured = tuple[float | None, float | None]  # accuracy of the faces alone, and with TTA
Found = tuple[Measured, list[Finding]]
NOT_MEASURED: Measured = (None, None)


class Verifier:
    """Verifies files one after another; they share the compiled nets and the faces.

    ``csv``: a FER2013 file on which the accuracy is measured again; ``skip_bad_rows``: as in
    ``load_csv``. ``tta``: a key of VIEWS, to measure it with test-time augmentation as well.
    """

    def __init__(
        self, csv: Path | None = None, tta: str | None = None, *, skip_bad_rows: bool = False
    ):
        self.csv, self.tta = csv, tta
        self._evaluator = cache(Evaluator)  # by architecture and face size
        self._table = cache(partial(load_csv, skip_bad_rows=skip_bad_rows, report=lambda _: None))

    def verify(self, path: Path) -> Report:
        """Look at one file.

        Raises:
            FileNotFoundError: there is none.
            DataError: the CSV cannot be used.
        """
        content, there = check_file(path)
        if not content:
            return Report(str(path), findings=(there,))
        sidecar, matching = check_sidecar(path, content)
        if matching.level == "FAIL":  # a trainer may have been between its two renames
            content, there = check_file(path)
            sidecar, matching = check_sidecar(path, content)
        contents, whole, parsing = check_format(content)
        findings = (there, matching, parsing)
        if contents is None:
            return Report(str(path), findings=findings)
        subject = Subject(
            path=path,
            size=len(content),
            contents=contents,
            whole=whole,
            sidecar=sidecar,
            config=config_in(sidecar),
            history=epochs_in(path.parent / METRICS),
        )
        measured, found = self._look_inside(subject)
        return Report(
            path=str(path),
            kind=subject.kind,
            epoch=subject.epoch,
            recorded_accuracy=subject.recorded_accuracy,
            measured_accuracy=measured[0],
            tta_accuracy=measured[1],
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

    def _look_inside(self, subject: Subject) -> Found:
        tensors = subject.contents.tensors
        architecture = _architecture(subject)
        if architecture is None:
            return NOT_MEASURED, [describe_foreign(subject.contents)]
        try:
            face_size = face_size_of(subject.contents, subject.sidecar)
        except UnsoundError as error:
            return NOT_MEASURED, [Finding("FAIL", "network", str(error))]
        evaluator = self._evaluator(architecture, face_size)
        shapes = {name: p.shape for name, p in evaluator.parameters.items()}
        network, size = check_network(subject, shapes), check_size(subject, shapes)
        if network.level == "FAIL" or not subject.whole:
            return NOT_MEASURED, [network, *([size] if size.level == "FAIL" else [])]
        findings = [network, size, check_contents(subject, shapes), check_values(tensors)]
        measured = NOT_MEASURED
        if all(finding.level != "FAIL" for finding in findings):
            measured, found = self._look_at_network(evaluator, subject, shapes)
            findings += found
        recorded = check_record(subject)
        return measured, [*findings, *([recorded] if recorded else [])]

    def _look_at_network(self, evaluator: Evaluator, subject: Subject, shapes: Shapes) -> Found:
        """A net that is complete and finite."""
        _, weights = weights_in(subject.contents)
        evaluator.load(weights)
        seed = subject.config.seed if subject.config else None
        findings = [
            check_statistics(subject.contents.tensors),
            check_trained(weights, shapes, seed),
            check_predictions(evaluator.logits(probes()), subject.kind),
        ]
        if self.csv is None:
            return NOT_MEASURED, findings
        measured, found = self._measure(evaluator, subject, self.csv)
        return measured, [*findings, *found]

    def _measure(self, evaluator: Evaluator, subject: Subject, csv: Path) -> Found:
        usage = subject.config.data.val_usage if subject.config else "PublicTest"
        if isinstance(subject.sidecar, ModelSidecar) and subject.sidecar.usage in SPLITS:
            usage = subject.sidecar.usage
        table = self._table(csv, (usage,))
        faces = table.splits[usage]
        scores = evaluator.score(faces)
        sidecar = subject.sidecar
        compared = check_accuracy(
            usage,
            scores.accuracy,
            faces.labels,
            subject.recorded_accuracy,
            same_data=None if sidecar is None else sidecar.data.get("sha256") == table.sha256,
            assumed=sidecar is None and "face_size" not in subject.contents.info,
        )
        findings = [compared, check_variety(usage, scores.confusion)]
        if self.tta is None:
            return (scores.accuracy, None), findings
        averaged = evaluator.score(faces, tta=self.tta).accuracy
        text = f"{with_views(usage, self.tta)}: {averaged:.4f}"
        return (scores.accuracy, averaged), [*findings, Finding("PASS", "TTA", text)]


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole files of a run's folder: best, final, snapshots in their order, others."""
    snapshots = list_snapshots(folder)
    models = [folder / name for name in (BEST, FINAL)]
    found = [path for path in folder.glob("*.ckpt") if not path.name.startswith(WRITING)]
    others = sorted(set(found) - set(snapshots) - set(models))
    return [*(path for path in models if path in found), *snapshots, *others]


def _architecture(subject: Subject) -> Architecture | None:
    """The net that the file should hold: the sidecar's word, else from the shapes."""
    tensors = subject.contents.tensors
    with suppress(UnsoundError):
        if subject.config and ("stem.0.weight" in tensors or not subject.whole):
            architecture = Architecture(**subject.config.model.architecture())
            refuse_too_large(architecture, tensors)
            return architecture
        return architecture_in(tensors)
    return None
