"""The one decision, row by row: every state of a folder under every combination of options."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from ferspore.config.loading import Override, load_config
from ferspore.config.schema import ConfigError
from ferspore.run.asked import AUTO, Asked, Decision, RefusalError, look
from ferspore.run.decision import decide
from ferspore.run.names import BEST, FINAL, LOCK
from ferspore.run.opening import opened
from tests.run import decision_table as table
from tests.run import small_folders

WEIGHTS = "weights.ckpt"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder in each of the states, by its name, and a configuration with two stages."""
    root = tmp_path_factory.mktemp("states")
    for state, build in small_folders.BUILDERS.items():
        build(root / state)
    small_folders.finished(root / "another run")
    text = yaml.safe_dump({"stages": small_folders.STAGES})
    (root / "stages.yaml").write_text(text, encoding="utf-8")
    return root


def resumed(folder: Path, state: str, what: str):
    """The value of --resume."""
    newest = {"stopped": "fer-2_2.ckpt"} | dict.fromkeys(
        ("without final model", *table.ENDED), "fer-3_4.ckpt"
    )
    older = "fer-2_4.ckpt" if newest.get(state) == "fer-3_4.ckpt" else "fer-1_4.ckpt"
    return {
        "no": None,
        "auto": AUTO,
        "folder": folder,
        "newest": folder / newest.get(state, "fer-2_4.ckpt"),
        "older": folder / older,
        "best": folder / BEST,
        "absent": folder / "fer-9_9.ckpt",
    }[what]


def asked_for(root: Path, case: table.Case) -> Asked:
    folder = root / case.state
    targets = {"same": folder, "empty": root / "empty", "run": root / "another run"}
    given = [Override("data.csv", "faces.csv", "--data_csv")]
    if case.init_from == "yes":
        given.append(Override("init_from", WEIGHTS, "--init_from"))
    config = root / "stages.yaml" if case.config == "stages" else None
    return Asked(
        folder=targets[case.into],
        given=_loaded(config, tuple(given)),
        resume=resumed(folder, case.state, case.resume),
        stage=None if case.stage in ("no", "all") else case.stage,
        all_stages=case.stage == "all",
    )


@cache
def _loaded(config, given):
    return load_config(config, given)


def decided(asked: Asked, seen) -> tuple[str | tuple[str, ...], Path | None, str]:
    """The result as the table writes it, what the run goes on or starts from, and the text of a
    refusal."""
    try:
        decision = decide(asked, *seen)
    except (RefusalError, ConfigError) as error:
        return "refuse", None, str(error)
    assert decision.folder == asked.folder
    if isinstance(decision, Decision):
        return decision.action, begins_from(decision), ""
    assert [part.folder.parent for part in decision.parts] == [asked.folder] * len(decision.parts)
    return tuple(part.action for part in decision.parts), begins_from(decision.parts[0]), ""


def begins_from(decision: Decision) -> Path | None:
    if decision.snapshot is not None:
        assert decision.plain is None and decision.init_from is None
        return decision.snapshot.path
    return decision.plain or decision.init_from


def expected_from(root: Path, case: table.Case, result) -> Path | None:
    """The file that the run, or its first stage, begins from."""
    folder = root / case.state
    if result == "refuse":
        return None
    if isinstance(result, str):
        if result == "start":
            return Path(WEIGHTS) if case.init_from == "yes" else None
        return resumed(folder, case.state, "older" if case.resume == "older" else "newest")
    if result[0] == "start" and case.stage == "second":
        return folder / "first" / BEST
    if result[0] == "start":
        return Path(WEIGHTS) if case.init_from == "yes" else None
    stage = "second" if case.stage == "second" else "first"
    return folder / stage / ("fer-2_2.ckpt" if result[0] == "resume" else "fer-3_4.ckpt")


def test_every_state_has_a_folder():
    assert set(small_folders.BUILDERS) == set(table.STATES)


def test_exactly_one_rule_is_for_each_case():
    wrong = {
        case: says
        for case in table.cases()
        if len(says := [rule.says or rule.result for rule in table.RULES if rule.matches(case)])
        != 1
    }
    assert not wrong


@pytest.mark.parametrize("state", table.STATES)
def test_the_decision_is_that_of_the_table(root, state):
    wrong, seen = {}, {}
    for case in (case for case in table.cases() if case.state == state):
        (rule,) = [rule for rule in table.RULES if rule.matches(case)]
        asked = asked_for(root, case)
        place = (case.resume, case.into, case.config)
        if place not in seen:
            seen[place] = look(asked)
        result, source, text = decided(asked, seen[place])
        expected = (rule.result, expected_from(root, case, rule.result))
        if (result, source) != expected or rule.says not in text:
            wrong[case] = f"{result} {source} {text}, expected {expected} {rule.says}"
    assert not wrong, "\n".join(f"{case}: {told}" for case, told in wrong.items())


@pytest.mark.parametrize("rule", table.REFUSALS, ids=lambda rule: rule.says)
def test_a_refusal_leaves_every_file_as_it_was(root, rule):
    """In the folder that is opened for training; one case of each of the rule's patterns."""
    before = files(root)
    for pattern in rule.when:
        one = replace(rule, when=(pattern,))
        case = next(case for case in table.cases() if one.matches(case))
        with pytest.raises((RefusalError, ConfigError)) as caught, opened(asked_for(root, case)):
            pass
        assert rule.says in str(caught.value), case
        assert files(root) == before, case


def files(root):
    """Every path below, and the bytes of the files; a lock that nobody holds is no file."""
    paths = {path for path in root.rglob("*") if path.name != LOCK}
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize("target", table.STATES)
def test_only_a_folder_without_a_run_takes_in_another(root, target):
    """--resume DIR --save_dir DIR, in all pairs of states."""
    takes_in = target in table.NOTHING
    for state in table.STATES:
        if state == target:
            continue
        case = table.Case(state, "folder", "empty", "no", "no", "plain")
        (rule,) = [rule for rule in table.RULES if rule.matches(case)]
        asked = replace(asked_for(root, case), folder=root / target)
        result, _, text = decided(asked, look(asked))
        if rule.result == "refuse" or takes_in:
            assert (result, rule.says in text) == (rule.result, True), (state, text)
        else:
            assert result == "refuse" and "holds another" in text, (state, text)


def test_a_copy_numbers_its_snapshots_after_those_that_it_continues(root):
    case = table.Case("stopped", "older", "empty", "no", "no", "plain")
    asked = asked_for(root, case)
    assert decide(asked, *look(asked)).last_sequence == 1
    asked = asked_for(root, case._replace(into="same"))
    assert decide(asked, *look(asked)).last_sequence == 2


# --- what the options' values change --------------------------------------------------------------


def of(root, state, resume="auto", **values):
    """The decision in a state's folder with other values of the command line."""
    case = table.Case(state, resume, "same", "no", "no", "plain")
    pairs = {key.replace("__", "."): value for key, value in values.items()}
    loaded = load_config(None, [Override(key, value, "--set") for key, value in pairs.items()])
    asked = replace(asked_for(root, case), given=loaded)
    return decide(asked, *look(asked))


@pytest.mark.parametrize(
    ("state", "values", "action"),
    [
        ("finished", {"training__epochs": 4}, "resume"),
        ("finished", {"training__patience": 9}, "finished"),
        ("out of patience", {"training__patience": 3}, "resume"),
        ("out of patience", {"training__patience": 0}, "resume"),
        ("out of patience", {"training__epochs": 20}, "finished"),
        ("stopped", {"training__epochs": 2}, "resume"),
        ("not evaluated", {"training__epochs": 2}, "evaluate"),
    ],
)
def test_epochs_and_patience_decide_whether_anything_is_left(root, state, values, action):
    assert of(root, state, **values).action == action


def test_a_value_that_a_finished_run_does_not_use_is_said(root):
    assert of(root, "finished", training__lr=0.5).lines == (
        "warning: training.lr: the run has 0.1, received 0.5 [--set]; not used: no epoch is left "
        "to train",
    )


def test_an_older_snapshot_with_nothing_left_to_train_is_refused(root):
    with pytest.raises(RefusalError, match="nothing is left to train after epoch 2 of 2"):
        of(root, "finished", "older", training__epochs=2)


@pytest.mark.parametrize("resume", ["no", "auto"])
def test_a_model_that_takes_no_run_is_named(tmp_path, resume):
    (tmp_path / "model").mkdir()
    small_folders.model(tmp_path / "model", FINAL, epoch=3)
    with pytest.raises(RefusalError, match=rf"--init_from \S+/{FINAL} "):
        of(tmp_path, "model", resume)


def test_a_plain_folder_keeps_the_values_that_it_was_taken_over_with(tmp_path):
    """Killed before its first own snapshot."""
    small_folders.plain(tmp_path / "plain")
    small_folders.write_config(tmp_path / "plain", {"data": {"csv": "x.csv"}, "seed": 7})
    decision = of(tmp_path, "plain", training__lr=0.5)
    assert decision.action == "take over" and decision.config.data.csv == "x.csv"
    assert (decision.config.seed, decision.config.training.lr) == (7, 0.5)


def test_a_damaged_snapshot_is_passed_over_and_named(tmp_path):
    small_folders.stopped(tmp_path / "stopped")
    (tmp_path / "stopped" / "fer-2_2.ckpt").write_bytes(b"")
    decision = of(tmp_path, "stopped")
    assert decision.snapshot.path.name == "fer-1_4.ckpt" and decision.action == "resume"
    assert "fer-2_2.ckpt: passed over: it has 0 bytes" in decision.lines[0]


def test_the_newest_is_the_one_written_last_whatever_the_clock_says(tmp_path):
    small_folders.stopped(tmp_path / "stopped")
    path = small_folders.snapshot(
        tmp_path / "stopped", 1, 3, sequence=9, evaluated=False, created="1970-01-01T00:00:00"
    )
    assert of(tmp_path, "stopped").snapshot.path == path


def test_a_stage_without_a_best_model_hands_nothing_over(tmp_path):
    small_folders.staged(tmp_path / "st", first=small_folders.finished)
    for path in (tmp_path / "st" / "first").glob("best_model.*"):
        path.unlink()
    asked = Asked(tmp_path / "st", load_config(None), AUTO, stage="second")
    with pytest.raises(RefusalError, match=r"stage first, which has no best_model\.ckpt"):
        decide(asked, *look(asked))


def test_the_page_is_the_table():
    """``python -m tests.run.decision_table`` writes it."""
    assert table.with_table(table.PAGE.read_text()) == table.PAGE.read_text()
