"""What ``ferspore train`` does: every state of a folder under every combination of options.

The expected results are written down here and computed nowhere. ``python -m
tests.run.decision_table`` prints them into docs/resume.md, which a test holds equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

# --- the combinations -----------------------------------------------------------------------------

NOTHING = ("missing", "empty", "begun")
ENDED = ("finished", "out of patience")
RUNS = ("stopped", "not evaluated", "without final model", *ENDED)
BROKEN = ("damaged", "two runs")
WITHOUT_STAGES = (*RUNS, *BROKEN, "plain", "model")
HALF_STAGED = ("stages: first stopped", "stages: first finished", "stages: second stopped")
STAGED = (*HALF_STAGED, "stages: finished")
STATES = (*NOTHING, *WITHOUT_STAGES, "stages: begun", *STAGED)

PLACES = ("newest", "older", "best", "absent")  # a file of the folder
NAMED = ("folder", *PLACES)
STAGE_OPTIONS = ("all", "first", "second", "unknown")


class Case(NamedTuple):
    """A command, and the state of the folder that it continues or starts a run in."""

    state: str  # one of STATES: of the folder that --resume names, else of the run's folder
    resume: str  # no; auto: without a value; or what it names, one of NAMED
    into: str  # --save_dir beside a named one: same folder, an empty one, one with another run
    init_from: str  # no, yes
    stage: str  # no; all: --run_all_stages; or the stage that --stage names
    config: str  # plain; stages: a configuration with two is given


VALUES = Case(
    STATES,
    ("no", "auto", *NAMED),
    ("same", "empty", "run"),
    ("no", "yes"),
    ("no", *STAGE_OPTIONS),
    ("plain", "stages"),
)


def cases() -> Iterator[Case]:
    for case in map(Case._make, product(*VALUES)):
        if case.resume in NAMED or case.into == "same":  # else --save_dir is the run's folder
            yield case


# --- the rules ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """``result``: an action, the actions of the stages, or "refuse" with ``says`` in the text.

    It is for the cases that match one of ``when``: the values of some fields of Case, by name.
    """

    result: str | tuple[str, ...]
    when: tuple[dict[str, str | tuple[str, ...]], ...]
    says: str = ""
    because: str = ""  # for the page

    def matches(self, case: Case) -> bool:
        return any(
            all(getattr(case, name) in _tuple(values) for name, values in pattern.items())
            for pattern in self.when
        )


def _tuple(values: str | tuple[str, ...]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values


def to(result, *when):
    return Rule(result, when)


def refuse(says, because, *when):
    return Rule("refuse", when, says, because)


ONE = {"stage": "no", "config": "plain", "init_from": "no"}  # a run without stages goes on
HERE = {"resume": ("auto", "folder"), "into": "same"}
LATEST = ("auto", "folder", "newest")
ELSEWHERE = ("empty", "run")

RULES = (
    # What --resume names
    refuse(
        "no such file or folder",
        "What `--resume` names must exist.",
        {"resume": "absent"},
        {"state": "missing", "resume": ("folder", "newest", "older", "best")},
        {"state": ("empty", "begun", "stages: begun", *STAGED),
         "resume": ("newest", "older", "best")},
        {"state": "model", "resume": ("newest", "older")},
    ),
    refuse(
        "no snapshot in this folder",
        "Nothing was trained in the folder that `--resume` names; `--save_dir DIR "
        "--resume` starts there.",
        {"state": ("empty", "begun", "stages: begun"), "resume": "folder"},
    ),
    # A new run
    to(
        "start",
        {"state": (*NOTHING, "stages: begun"), "resume": "no", "stage": "no", "config": "plain"},
        {"state": NOTHING, "resume": "auto", "stage": "no", "config": "plain"},
    ),
    refuse(
        "--run-all-stages trains them all",
        "A configuration with stages needs `--run_all_stages` or `--stage NAME`.",
        {"resume": "no", "stage": "no", "config": "stages"},
        {"state": NOTHING, "resume": "auto", "stage": "no", "config": "stages"},
    ),
    refuse(
        "already holds a run",
        "A new run, or a new stage, never overwrites a trained one; `--resume` continues it.",
        {"state": (*RUNS, *BROKEN, "plain", *STAGED), "resume": "no", "stage": "no",
         "config": "plain"},
        {"state": STAGED, "resume": "no", "stage": ("all", "first")},
        {"state": ("stages: second stopped", "stages: finished"), "resume": "no",
         "stage": "second", "init_from": "no"},
    ),
    refuse(
        "holds a model",
        "A folder with a model alone takes no run; `--init_from` starts one from its "
        "weights in another folder.",
        {"state": "model", "resume": "no", "stage": "no", "config": "plain"},
    ),
    # A run goes on
    to(
        "resume",
        {"state": "stopped", "resume": LATEST, "into": ("same", "empty"), **ONE},
        {"state": RUNS, "resume": "older", "into": ("same", "empty"), **ONE},
    ),
    to("evaluate",
       {"state": "not evaluated", "resume": LATEST, "into": ("same", "empty"), **ONE}),
    to(
        "finish",
        {"state": "without final model", "resume": LATEST, "into": ("same", "empty"), **ONE},
        {"state": ENDED, "resume": LATEST, "into": "empty", **ONE},
    ),
    to("finished", {"state": ENDED, "resume": LATEST, "into": "same", **ONE}),
    to(
        "take over",
        {"state": "plain", "resume": (*LATEST, "older"), "into": ("same", "empty"), **ONE},
    ),
    refuse(
        "holds another",
        "`--save_dir` beside `--resume DIR` or `--resume FILE.ckpt` takes a copy of the "
        "run, so the folder must hold none.",
        {"state": (*RUNS, "plain"), "resume": ("folder", "newest", "older"), "into": "run",
         **ONE},
    ),
    refuse(
        "init_from: ",
        "`--init_from` other than the run's own; a run that has begun keeps its weights.",
        {"state": (*RUNS, "plain"), "resume": (*LATEST, "older"), "stage": "no",
         "config": "plain", "init_from": "yes"},
        {"state": STAGED, **HERE, "stage": ("no", "all", "first"), "init_from": "yes"},
    ),
    refuse(
        "stages: the configuration has some",
        "A configuration with stages was given for a run without.",
        {"state": (*RUNS, "plain"), "resume": (*LATEST, "older"), "stage": "no",
         "config": "stages"},
    ),
    # Nothing to go on from
    refuse(
        "only weights",
        "best_model.ckpt and final_model.ckpt cannot be resumed; `--init_from` starts a "
        "new run from them.",
        {"state": "model", "resume": ("auto", "folder"), "stage": "no"},
        {"state": WITHOUT_STAGES, "resume": "best", "stage": "no"},
    ),
    refuse(
        "no sound snapshot is left",
        "Every snapshot is damaged; each is named with its fault.",
        {"state": "damaged", "resume": ("auto", "folder"), "stage": "no"},
    ),
    refuse(
        "where its sidecar says",
        "The snapshot that was named is damaged.",
        {"state": "damaged", "resume": ("newest", "older"), "stage": "no"},
    ),
    refuse(
        "snapshots of 2 runs",
        "The folder holds snapshots of two runs: one of them has to be moved out.",
        {"state": "two runs", "resume": (*LATEST, "older"), "stage": "no"},
    ),
    # Stages
    to(
        ("start", "start"),
        {"state": NOTHING, "resume": ("no", "auto"), "stage": "all", "config": "stages"},
        {"state": "stages: begun", "resume": ("no", "auto"), "stage": "all"},
        {"state": "stages: begun", "resume": "auto", "stage": "no"},
    ),
    to(
        ("start",),
        {"state": NOTHING, "resume": ("no", "auto"), "stage": "first", "config": "stages"},
        {"state": "stages: begun", "resume": ("no", "auto"), "stage": "first"},
        {"state": "stages: first finished", "resume": "no", "stage": "second",
         "init_from": "no"},
        {"state": "stages: first finished", **HERE, "stage": "second", "init_from": "no"},
    ),
    to(
        ("resume", "start"),
        {"state": "stages: first stopped", **HERE, "stage": ("no", "all"), "init_from": "no"},
    ),
    to(
        ("finished", "start"),
        {"state": "stages: first finished", **HERE, "stage": ("no", "all"), "init_from": "no"},
    ),
    to(
        ("finished", "resume"),
        {"state": "stages: second stopped", **HERE, "stage": ("no", "all"), "init_from": "no"},
    ),
    to(
        ("finished", "finished"),
        {"state": "stages: finished", **HERE, "stage": ("no", "all"), "init_from": "no"},
    ),
    to(
        ("resume",),
        {"state": "stages: first stopped", **HERE, "stage": "first", "init_from": "no"},
        {"state": "stages: second stopped", **HERE, "stage": "second", "init_from": "no"},
    ),
    to(
        ("finished",),
        {"state": ("stages: first finished", "stages: second stopped", "stages: finished"),
         **HERE, "stage": "first", "init_from": "no"},
        {"state": "stages: finished", **HERE, "stage": "second", "init_from": "no"},
    ),
    refuse(
        "which has not been trained",
        "The stage starts from one that has not been trained.",
        {"state": NOTHING, "resume": ("no", "auto"), "stage": "second", "config": "stages",
         "init_from": "no"},
        {"state": "stages: begun", "resume": ("no", "auto"), "stage": "second",
         "init_from": "no"},
    ),
    refuse(
        "which is not finished",
        "The stage starts from one that is not finished.",
        {"state": "stages: first stopped", "resume": "no", "stage": "second",
         "init_from": "no"},
        {"state": "stages: first stopped", **HERE, "stage": "second", "init_from": "no"},
    ),
    refuse(
        "--init_from is for the first stage",
        "A later stage starts from what its `init_from` in the configuration says.",
        {"state": NOTHING, "resume": ("no", "auto"), "stage": "second", "config": "stages",
         "init_from": "yes"},
        {"state": ("stages: begun", *STAGED), "resume": ("no", "auto"), "stage": "second",
         "init_from": "yes"},
        {"state": STAGED, "resume": "folder", "into": "same", "stage": "second",
         "init_from": "yes"},
    ),
    refuse(
        "unknown stage",
        "`--stage` names no stage of the run; the message lists them.",
        {"state": NOTHING, "resume": ("no", "auto"), "stage": "unknown", "config": "stages"},
        {"state": ("stages: begun", *STAGED), "resume": ("no", "auto"), "stage": "unknown"},
        {"state": STAGED, "resume": "folder", "into": "same", "stage": "unknown"},
    ),
    refuse(
        "the configuration has none",
        "`--stage` and `--run_all_stages` need a configuration with stages.",
        {"state": NOTHING, "resume": ("no", "auto"), "stage": STAGE_OPTIONS, "config": "plain"},
    ),
    refuse(
        "a run without stages",
        "`--stage` and `--run_all_stages` do not fit a run without stages.",
        {"state": (*RUNS, *BROKEN, "plain"), "stage": STAGE_OPTIONS,
         "resume": ("no", *LATEST, "older", "best")},
    ),
    refuse(
        "a model and no run in stages",
        "The same where the folder holds a model alone.",
        {"state": "model", "stage": STAGE_OPTIONS, "resume": ("no", "auto", "folder", "best")},
    ),
    refuse(
        "in its own folder",
        "A run in stages is continued where it is, not in a copy.",
        {"state": STAGED, "resume": "folder", "into": ELSEWHERE},
    ),
)  # fmt: skip


def rule_of(case: Case) -> Rule:
    (rule,) = [rule for rule in RULES if rule.matches(case)]
    return rule


# --- the page -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "resume.md"
BEGIN, END = "<!-- tests/run/decision_table.py, from here -->", "<!-- to here -->"
REFUSALS = [rule for rule in RULES if rule.result == "refuse"]
COLUMNS = {
    "no option": {},
    "`--resume`": {"resume": "auto"},
    "`--resume DIR`": {"resume": "folder"},
    "`--resume DIR --save_dir NEW`": {"resume": "folder", "into": "empty"},
    "`--resume DIR/fer-E_S.ckpt`, not the newest": {"resume": "older"},
    "`--resume --init_from FILE`": {"resume": "auto", "init_from": "yes"},
}
STAGE_COLUMNS = {
    "`--run_all_stages`": {"stage": "all"},
    "`--run_all_stages --resume`": {"stage": "all", "resume": "auto"},
    "`--stage first --resume`": {"stage": "first", "resume": "auto"},
    "`--stage second --resume`": {"stage": "second", "resume": "auto"},
    "`--stage second`": {"stage": "second"},
}
DEFAULTS = {"resume": "no", "into": "same", "init_from": "no", "stage": "no", "config": "plain"}


def tables() -> str:
    """The cells of the most used options, a line a state; then every refusal, by number."""
    staged = (*NOTHING, "stages: begun", *STAGED)
    lines = [
        *_matrix(STATES, COLUMNS, {}),
        "",
        "With a configuration of two stages, `first` and `second`:",
        "",
        *_matrix(staged, STAGE_COLUMNS, {"config": "stages"}),
        "",
        *(f"{n}. `{rule.says.strip(': ')}`: {rule.because}" for n, rule in enumerate(REFUSALS, 1)),
    ]
    return "\n".join(lines)


def _matrix(states, columns, more) -> Iterator[str]:
    rows: dict[tuple[str, ...], list[str]] = {}
    for state in states:
        options = [DEFAULTS | more | values for values in columns.values()]
        cells = tuple(_cell(rule_of(Case(state, **values))) for values in options)
        rows.setdefault(cells, []).append(state)
    yield f"| folder | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for cells, same in rows.items():
        yield f"| {', '.join(same)} | {' | '.join(cells)} |"


def _cell(rule: Rule) -> str:
    if rule.result == "refuse":
        return f"refused ({REFUSALS.index(rule) + 1})"
    return rule.result if isinstance(rule.result, str) else ", ".join(rule.result)


def with_table(page: str) -> str:
    """The page with the tables between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
