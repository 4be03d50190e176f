"""Reports as text for the terminal."""

from collections.abc import Mapping
from pathlib import Path

from ferspore.labels import VIEWS
from ferspore.tables import accuracy_text, aligned, counted, one_line
from ferspore.verification.findings import Level, Report, best_of

Paint = Mapping[Level, str]  # each level's escape code


def format_report(report: Report, paint: Paint | None = None) -> str:
    """A line a finding, aligned, then the verdict."""
    width = max(len(finding.name) for finding in report.findings)
    lines = [
        f"{_painted(finding.level, paint, finding.level)}  {finding.name:<{width}}  {finding.text}"
        for finding in report.findings
    ]
    return "\n".join([report.path, *lines, _painted(report.verdict, paint, report.level)])


def format_table(reports: list[Report], paint: Paint | None = None, tta: str | None = None) -> str:
    """A line a checkpoint with its first fault, then the verdict and which is the best.

    ``tta``: the key of VIEWS by which they were measured as well.
    """
    best = best_of(reports)
    rows = [
        ("", "checkpoint", "kind", "epoch", "recorded", "measured", *(["TTA"] if tta else []))
    ] + [
        (
            "*" if report is best else "",
            _name(report),
            report.kind or "-",
            "-" if report.epoch is None else str(report.epoch),
            accuracy_text(report.recorded_accuracy),
            accuracy_text(report.measured_accuracy),
            *([accuracy_text(report.tta_accuracy)] if tta else []),
        )
        for report in reports
    ]
    # The painted states stay out of the table: escape codes have no width on the screen.
    states = ["state"] + [_state(report, paint) for report in reports]
    columns = aligned(rows, left=3).splitlines()
    lines = [f"{line}  {state}" for line, state in zip(columns, states, strict=True)]
    lines += [f"TTA: {VIEWS[tta]}"] if tta else []
    unsound = sum(not report.sound for report in reports)
    verdict = f"{counted(len(reports), 'checkpoint')}: {len(reports) - unsound} sound"
    if unsound:
        verdict += f", {unsound} NOT sound"
    if best is not None:
        verdict += f"; * the best is {_name(best)}, accuracy {best.accuracy:.4f}"
    return "\n".join([*lines, _painted(verdict, paint, "FAIL" if unsound else "PASS")])


def _name(report: Report) -> str:
    return one_line(Path(report.path).name)


def _state(report: Report, paint: Paint | None) -> str:
    """The verdict, with the first finding that is no PASS."""
    reason = f" ({report.worst[0].text})" if report.worst else ""
    return _painted(report.verdict, paint, report.level) + reason


def _painted(text: str, paint: Paint | None, level: Level) -> str:
    return f"{paint[level]}{text}\x1b[0m" if paint else text
