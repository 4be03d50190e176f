"""States of runs: one small run, copied and brought into each of the states."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from ferspore.run.listing import RunState, format_runs, in_order, list_runs, lock_holder, run_state
from ferspore.run.lock import RunLock
from ferspore.run.sidecar import seal, unseal
from ferspore.tables import aligned
from tests import runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three epochs whose snapshots all stand."""
    root = tmp_path_factory.mktemp("runs")
    csv = runs.small_csv(root / "faces.csv")
    changes = {"training__epochs": 3, "checkpoint__save_checkpoint_steps": 2}
    assert runs.train(root / "run", csv, checkpoint__keep_checkpoint_max=9, **changes)[0] == 0
    return root / "run"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "checkpoints" / "run")


def cut_back(folder, last):
    """The folder as it stood when snapshot ``last`` was the newest."""
    for path in folder.glob("fer-*"):
        if path.stem > last:
            path.unlink()
    for path in folder.glob("final_model.*"):
        path.unlink()


def set_value(folder, key, value):
    """In the section training."""
    path = folder / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["training"][key] = value
    path.write_text(yaml.safe_dump(tree))


def reseal(sidecar, **changes):
    sidecar.write_bytes(seal({**unseal(sidecar.read_bytes()), **changes}))


def test_a_finished_run(run):
    best = json.loads((run / "best_model.json").read_text())
    state = run_state(run)
    assert (state.state, state.pid, state.epochs_done, state.epochs) == ("finished", None, 3, 3)
    assert state.best_accuracy == best["best_accuracy"]
    assert state.best_epoch == best["best_epoch"]
    assert state.written == json.loads((run / "final_model.json").read_text())["created"]
    assert state.bytes == sum(path.stat().st_size for path in run.glob("*"))


def test_a_run_stopped_in_mid_epoch(run):
    cut_back(run, "fer-2_2")
    state = run_state(run)
    assert (state.state, state.epochs_done, state.epochs) == ("stopped", 1, 3)


def test_the_epoch_of_a_snapshot_that_was_not_evaluated_is_not_done(run):
    cut_back(run, "fer-2_4")
    assert run_state(run).epochs_done == 2
    reseal(run / "fer-2_4.json", evaluated=False)
    assert run_state(run).epochs_done == 1


def test_a_damaged_final_model_is_not_finished(run):
    path = run / "final_model.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert run_state(run).state == "stopped"


def test_more_epochs_in_the_configuration_make_it_unfinished(run):
    set_value(run, "epochs", 8)
    state = run_state(run)
    assert (state.state, state.epochs_done, state.epochs) == ("stopped", 3, 8)


@pytest.mark.parametrize(("patience", "state"), [(0, "stopped"), (2, "early stop"), (3, "stopped")])
def test_an_early_stop_is_finished(run, patience, state):
    reseal(run / "fer-3_4.json", best_epoch=1, epochs_since_best=2)
    set_value(run, "epochs", 8)
    set_value(run, "patience", patience)
    assert run_state(run).state == state


def test_the_final_model_of_an_earlier_end_is_not_this_end(run):
    """Resumed with more epochs and killed after its last snapshot, before the final model."""
    reseal(run / "final_model.json", epoch=2)
    assert run_state(run).state == "stopped"


def test_running_is_who_holds_the_lock_not_who_is_named(run):
    with RunLock(run):
        state = run_state(run)
        assert (state.state, state.pid) == ("running", os.getpid())
    assert run_state(run).state == "finished"
    (run / "run.lock").write_text("12345\n")  # what a killed trainer leaves
    assert run_state(run).state == "finished"


def test_the_lock_is_not_kept(run):
    (run / "run.lock").write_text("12345\n")
    assert lock_holder(run) is None
    with (run / "run.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_damaged_sidecars_are_passed_over(run):
    (run / "fer-3_4.json").write_text("{}")
    (run / "final_model.json").unlink()
    (run / "config.yaml").write_text("no: such: yaml")
    (run / "best_model.json").write_bytes(b"\xff")
    state = run_state(run)
    assert (state.state, state.epochs_done, state.epochs) == ("stopped", 2, 3)
    assert state.best_accuracy is not None  # from the newest snapshot that is left


def test_the_shipped_model_is_called_what_it_is():
    state = run_state(runs.ROOT / "checkpoints" / "fer2013-small")
    assert (state.state, state.epochs_done, state.epochs) == ("model", 35, None)
    assert (state.best_accuracy, state.best_epoch) == (pytest.approx(0.6386, abs=5e-5), 35)


def test_stages_are_runs_of_their_own_and_other_folders_are_none(run):
    root = run.parent
    shutil.copytree(run, root / "staged" / "small")
    shutil.copytree(run, root / "staged" / "full")
    cut_back(root / "staged" / "full", "fer-1_4")
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no run")
    found = {str(state.folder.relative_to(root)): state.state for state in list_runs(root)}
    assert found == {"run": "finished", "staged/full": "stopped", "staged/small": "finished"}
    assert [state.folder for state in list_runs(run)] == [run]


def test_the_tool_lists_and_writes_the_table(run, tmp_path):
    cut_back(run, "fer-2_2")
    result = runs.call("--json", "out.json", cwd=tmp_path, script="tools/list_runs.py")
    assert result.returncode == 0, result.stderr
    (written,) = json.loads((tmp_path / "out.json").read_text())
    state = run_state(run)
    assert written == {**vars(state), "folder": "checkpoints/run"}
    assert result.stdout.splitlines()[1].split()[:4] == [
        "checkpoints/run",
        "stopped",
        "1/3",
        f"{state.best_accuracy:.4f}",
    ]


def test_the_best_or_the_latest_first_and_what_is_not_known_last():
    def one(name, accuracy, day, **values):
        written = day and f"2026-11-{day}T10:20:30.000000+00:00"
        known = {"state": "stopped", "pid": None, "epochs_done": 1, "epochs": 3, "bytes": 1000}
        return RunState(Path(name), best_accuracy=accuracy, best_epoch=1, written=written,
                        **known | values)  # fmt: skip

    table = [one("c", 0.5, "09"), one("b", None, None), one("a", 0.7, "02"),
             one("m", 0.6, "11", state="model", epochs=None),
             one("s", None, None, state="stages 1/2", epochs_done=0, epochs=None)]  # fmt: skip

    def names(order):
        return "".join(run.folder.name for run in in_order(table, order))

    assert (names("name"), names("accuracy"), names("date")) == ("abcms", "amcbs", "mcabs")
    _, _, _, model, stages = [line.split() for line in format_runs(table).splitlines()[1:]]
    assert model == ["m", "model", "1", "0.6000", "1", "1.0", "kB", "2026-11-11", "10:20"]
    assert stages == ["s", "stages", "1/2", "-", "-", "1", "1.0", "kB", "-"]


def test_columns_hold_beside_wide_names():
    """On a terminal, where a Chinese character takes two columns and an accent of its own none."""
    names = ["run", "实验一", "e\u0301te\u0301"]
    assert aligned([[name, "1"] for name in names]).splitlines() == [
        "run     1",
        "实验一  1",
        "e\u0301te\u0301     1",
    ]


def test_a_root_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        list_runs(tmp_path / "nowhere")
