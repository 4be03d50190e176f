"""What the checks of a checkpoint found, and the verdict on it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ferspore.tables import counted, one_line

Level = Literal["PASS", "WARN", "FAIL"]
Kind = Literal["best", "final", "snapshot", "weights", "onnx"]

NAMES_SHOWN = 3


class NoCheckpointError(ValueError):
    """A folder holds no checkpoint."""


@dataclass(frozen=True)
class Finding:
    """The result of one check; ``text`` also says what it means or what to do."""

    level: Level
    name: str
    text: str


@dataclass(frozen=True)
class Report:
    """All findings on one file. Accuracies are fractions, None where unknown."""

    path: str
    kind: Kind | None = None
    epoch: int | None = None
    recorded_accuracy: float | None = None
    measured_accuracy: float | None = None
    tta_accuracy: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def worst(self) -> list[Finding]:
        """The findings of the worst level there is; none where every check passed."""
        return self._at("FAIL") or self._at("WARN")

    @property
    def level(self) -> Level:
        return self.worst[0].level if self.worst else "PASS"

    @property
    def sound(self) -> bool:
        return self.level != "FAIL"

    @property
    def verdict(self) -> str:
        if not self.sound:
            return "NOT sound: " + ", ".join(finding.name for finding in self.worst)
        return f"sound, with {counted(len(self.worst), 'warning')}" if self.worst else "sound"

    @property
    def accuracy(self) -> float | None:
        """The measured accuracy, else the recorded one."""
        measured = self.measured_accuracy
        return self.recorded_accuracy if measured is None else measured

    def to_dict(self) -> dict[str, Any]:
        """The fields and the verdict, ready for JSON."""
        return {**asdict(self), "sound": self.sound, "verdict": self.verdict}

    def _at(self, level: Level) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == level]


def best_of(reports: Iterable[Report]) -> Report | None:
    """The sound one with the highest accuracy, the first of equals."""
    known = [report for report in reports if report.sound and report.accuracy is not None]
    return max(known, key=lambda report: report.accuracy or 0.0, default=None)


def listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(map(one_line, names[:NAMES_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown
