"""An exported ONNX file -> findings, by ONNX Runtime; nothing in the file is trusted."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ferspore.data.csv import load_csv
from ferspore.data.views import with_views
from ferspore.evaluation.probes import probes
from ferspore.evaluation.scores import score
from ferspore.export.onnx_model import OnnxModel
from ferspore.labels import SPLITS
from ferspore.run.ckpt import UnsoundError
from ferspore.tables import accuracy_text, one_line, size_text
from ferspore.verification.behaviour_checks import (
    check_accuracy,
    check_predictions,
    check_variety,
)
from ferspore.verification.findings import Finding, Report


def verify_onnx(path: Path, csv: Path | None, tta: str | None, *, skip_bad_rows: bool) -> Report:
    """Look at one file; the arguments are those of ``Verifier``.

    Raises:
        MissingPackageError: onnx or onnxruntime is not installed.
        OSError: the file cannot be read.
        DataError: the CSV cannot be used.
    """
    try:
        model = OnnxModel(path)
        text = f"an export of ferspore, {size_text(path.stat().st_size)}, as written (digest)"
        findings = [
            Finding("PASS", "format", text),
            _origin(model.metadata),
            check_predictions(model.logits(probes()), "onnx"),
        ]
        report = Report(
            path=str(path),
            kind="onnx",
            epoch=_epoch(model.metadata),
            recorded_accuracy=_recorded(model.metadata),
            findings=tuple(findings),
        )
        return report if csv is None else _measured(report, model, csv, tta, skip_bad_rows)
    except UnsoundError as error:
        fault = Finding("FAIL", "format", one_line(str(error), 300))
        return Report(str(path), "onnx", findings=(fault,))


def _measured(
    report: Report, model: OnnxModel, csv: Path, tta: str | None, skip_bad_rows: bool
) -> Report:
    """``report`` with what the faces of a CSV tell."""
    usage = model.metadata.get("usage", "")
    usage = usage if usage in SPLITS else "PublicTest"
    table = load_csv(csv, (usage,), skip_bad_rows=skip_bad_rows, report=lambda _: None)
    faces = table.splits[usage]
    scores = score(model.logits(faces.images), faces.labels)
    compared = check_accuracy(
        usage,
        scores.accuracy,
        faces.labels,
        report.recorded_accuracy,
        same_data=model.metadata.get("csv_sha256") == table.sha256,
        assumed=False,
    )
    findings = [*report.findings, compared, check_variety(usage, scores.confusion)]
    averaged = None
    if tta is not None:
        averaged = score(model.logits(faces.images, tta=tta), faces.labels).accuracy
        findings.append(Finding("PASS", "TTA", f"{with_views(usage, tta)}: {averaged:.4f}"))
    return replace(
        report,
        measured_accuracy=scores.accuracy,
        tta_accuracy=averaged,
        findings=tuple(findings),
    )


def _origin(metadata: dict[str, str]) -> Finding:
    """Which checkpoint the file says that it is."""
    text = f"checkpoint {metadata.get('checkpoint_sha256', 'unknown')[:12]}"
    if (accuracy := _recorded(metadata)) is not None:
        text += f", accuracy {accuracy_text(accuracy)} at epoch {_epoch(metadata)}"
    if told := metadata.get("quantisation"):
        text += f"; {told}"
    return Finding("PASS", "origin", one_line(text, 300))


def _recorded(metadata: dict[str, str]) -> float | None:
    with suppress(ValueError):
        value = float(metadata.get("accuracy", ""))
        return value if 0 <= value <= 1 else None
    return None


def _epoch(metadata: dict[str, str]) -> int | None:
    epoch = metadata.get("epoch", "")
    return int(epoch) if epoch.isdecimal() and len(epoch) < 10 else None
