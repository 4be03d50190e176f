"""``ferspore train`` up to where MindSpore is needed: options, refusals, --print_config."""

import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ferspore.cli import common, train, training
from ferspore.config.loading import RUN
from ferspore.config.schema import ConfigError
from ferspore.run.asked import AUTO, RefusalError, look
from ferspore.run.decision import decide
from ferspore.run.names import BEST, CONFIG, LOCK
from ferspore.run.progress import Progress
from ferspore.training.telling import continue_command, end_lines, finished_lines, resumed_line
from tests.run import small_folders
from tests.run.small_folders import SETTINGS, STAGES

ST = Path("checkpoints/st")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a configuration of two stages."""
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()
    Path("stages.yaml").write_text(yaml.safe_dump({**SETTINGS, "name": "st", "stages": STAGES}))


def asked_for(*words):
    arguments = train.parser().parse_args(common.with_underscores(list(words)))
    return training.asked_for(arguments, "command")


def decided(*words):
    asked = asked_for(*words)
    return decide(asked, *look(asked))


def refused(*words):
    """The text of a refusal; every file is as it was before."""
    before = contents()
    with pytest.raises((RefusalError, ConfigError)) as caught:
        training.train(asked_for(*words), lambda line: None)
    assert contents() == before
    return str(caught.value)


def contents():
    paths = [path for path in Path().rglob("*") if path.name != LOCK]
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


def build(state, folder=ST):
    small_folders.BUILDERS[state](folder)


def test_the_command_in_a_sidecar_names_no_absolute_path():
    lists = 'training.teachers=["/a b/c.ckpt", d/e.ckpt,/f/g.ckpt]'
    told = train.told_command(["--data_csv", "/home/me/faces.csv", "--set", lists])
    assert shlex.split(told)[2:] == [
        "--data_csv", "faces.csv", "--set", 'training.teachers=["c.ckpt", d/e.ckpt,g.ckpt]',
    ]  # fmt: skip


# --- the run's folder -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "folder", "resume"),
    [
        ([], "checkpoints/fer2013", None),
        (["--name", "a"], "checkpoints/a", None),
        (["--set", "name=a"], "checkpoints/a", None),
        (["--save_dir", "x/y"], "x/y", None),
        (["--resume"], "checkpoints/fer2013", AUTO),
        (["--resume", "auto", "--name", "a"], "checkpoints/a", AUTO),
        (["--resume", "x"], "x", Path("x")),
        (["--resume", "x/fer-1_2.ckpt"], "x", Path("x/fer-1_2.ckpt")),
        (["--resume", "x", "--name", "a"], "checkpoints/a", Path("x")),
        (["--resume", "x", "--config", "stages.yaml"], "x", Path("x")),
        (["--resume", "x/fer-1_2.ckpt", "--save-dir", "y"], "y", Path("x/fer-1_2.ckpt")),
        (["--name", "auto-b"], "checkpoints/fer_resnet-w32_b128_lr0.1_s1-b", None),
        (
            ["--name", "auto", "--resume", "--epochs", "9", "--patience", "2", "--seed", "3"],
            "checkpoints/fer_resnet-w32_b128_lr0.1_s3",
            AUTO,
        ),
    ],
)
def test_which_folder_is_meant(words, folder, resume):
    asked = asked_for(*words)
    assert (asked.folder, asked.resume) == (Path(folder), resume)


def test_a_file_is_no_folder_for_a_run():
    assert refused("--save_dir", "stages.yaml") == (
        "stages.yaml: received a file, expected a folder for the run"
    )
    assert "stages.yaml: expected a run's folder or a .ckpt" in refused("--resume", "stages.yaml")


# --- --print_config -------------------------------------------------------------------------------


def printed(capsys, *words):
    """Values and origins by key, as --print_config prints them."""
    arguments = train.parser().parse_args(common.with_underscores([*words, "--print_config"]))
    assert training.run(arguments, "command") == 0
    rows = [line.split("  # ") for line in capsys.readouterr().out.splitlines() if "  # " in line]
    return {row[0].strip(): row[1] for row in rows}


def test_with_resume_it_prints_the_values_of_the_run(capsys):
    build("stopped")
    rows = printed(capsys, "--name", "st", "--resume", "--lr", "0.7")
    assert rows.pop("lr: 0.7") == "--lr" and rows.pop("name: st") == "--name"
    assert rows["epochs: 3"] == RUN and rows["csv: faces.csv"] == RUN
    assert set(rows.values()) == {RUN}


def test_with_resume_it_prints_the_stages_of_the_run(capsys):
    build("stages: first stopped")
    rows = printed(capsys, "--name", "st", "--resume")
    assert rows["- name: second"] == RUN and rows["epochs: 3"] == RUN


def test_before_the_folder_is_there(capsys):
    rows = printed(capsys, "--config", "stages.yaml", "--run_all_stages")
    assert rows["- name: first"] == "stages.yaml"


# --- a run that was begun -------------------------------------------------------------------------


def test_the_configuration_of_a_stop_before_the_first_snapshot_is_the_run_s():
    build("begun")
    decision = decided("--name", "st", "--resume")
    assert decision.action == "start" and decision.config.data.csv == "faces.csv"
    assert decision.config.training.epochs == 3


def test_a_broken_configuration_is_named():
    ST.mkdir()
    (ST / CONFIG).write_text("training: {epoch: 3}")
    assert f"did you mean training.epochs? [{ST / CONFIG}]" in refused("--name", "st", "--resume")


def test_training_never_selects_on_private_test():
    assert "PrivateTest" in refused("--set", "data.val_usage=PrivateTest")


# --- stages ---------------------------------------------------------------------------------------


def test_a_run_stopped_in_its_first_stage_continues_as_a_whole():
    build("stages: first stopped")
    for words in (["--run-all-stages", "--resume"], ["--resume"]):
        whole = decided("--name", "st", *words)
        first, second = whole.parts
        assert first.action == "resume" and first.snapshot.path == ST / "first/fer-2_2.ckpt"
        assert (second.action, second.init_from) == ("start", ST / "first" / BEST)
        assert continue_command(whole).endswith("train --name st --run-all-stages --resume")


def test_a_stage_that_was_started_alone_continues_alone():
    build("stages: first stopped")
    whole = decided("--name", "st", "--stage", "first", "--resume")
    assert continue_command(whole).endswith("train --name st --stage first --resume")


def test_a_file_of_a_stage_continues_that_stage():
    build("stages: first stopped")
    decision = decided("--resume", str(ST / "first/fer-1_4.ckpt"))
    assert (decision.action, decision.folder, decision.stage) == ("resume", ST / "first", "first")
    assert continue_command(decision).endswith("train --save_dir checkpoints/st/first --resume")


@pytest.mark.parametrize("name", ["my run", "auto", "auto-b", "-a", "st", "auto1", "1.b_c-d"])
def test_the_command_that_continues_finds_its_folder(name):
    folder = Path("checkpoints", name)
    build("stopped", folder)
    words = shlex.split(continue_command(decided("--save_dir", str(folder), "--resume")))
    assert decided(*words[words.index("train") + 1 :]).folder == folder


def test_a_run_out_of_patience_has_no_epoch_to_go():
    progress = Progress(4, epoch=3, step=4, evaluated=True, epochs_since_best=2)
    lines = [resumed_line(None, progress, 0.1, 9, patience) for patience in (0, 2, 3)]
    assert [line.rpartition("; ")[2] for line in lines] == [
        "6 epochs to go",
        "0 epochs to go",
        "6 epochs to go",
    ]


def test_a_run_that_was_taken_over_at_its_end_was_never_evaluated():
    build("plain")
    decision = decided("--name", "st", "--resume", "--epochs", "2")
    progress = Progress(4, epoch=2, step=4, evaluated=True)
    told = end_lines("finished", decision, decision, progress)[0]
    assert told.startswith("finished: 2 epochs, no epoch was evaluated (PublicTest)")
    progress.finish_epoch(val_accuracy=0.5, val_loss=math.nan)
    told = end_lines("finished", decision, decision, progress)[0]
    assert "2 epochs, no epoch had a finite loss" in told


def test_init_from_is_for_the_first_stage():
    staged = decided("--config", "stages.yaml", "--run_all_stages", "--init_from", "w.ckpt")
    assert [part.init_from for part in staged.parts] == [Path("w.ckpt"), ST / "first" / BEST]
    assert staged.loaded.config.init_from == "w.ckpt"


def test_init_from_given_again_is_no_change_for_any_stage():
    settings = {**SETTINGS, "init_from": "w.ckpt"}
    small_folders.staged(ST)
    small_folders.write_config(ST, {**settings, "stages": STAGES})
    small_folders.stopped(ST / "first", settings=settings, stage="first")
    small_folders.write_config(ST, {**settings, "stages": STAGES})
    (ST / "second").mkdir()  # begun, and stopped before its first snapshot
    small_folders.write_config(ST / "second", {**SETTINGS, "init_from": "first"})
    first, second = decided("--name", "st", "--resume", "--init_from", "w.ckpt").parts
    assert first.config.init_from == "w.ckpt" and first.action == "resume"
    assert (second.config.init_from, second.init_from) == ("first", ST / "first" / BEST)


def test_values_of_the_command_line_reach_a_stage_of_a_run():
    build("stages: second stopped")
    words = ["--name", "st", "--stage", "second", "--resume", "--lr", "0.7"]
    (part,) = decided(*words).parts
    assert part.config.training.lr == 0.7
    assert any(line.startswith("warning: training.lr: the run has 0.1") for line in part.lines)
    assert "seed: the run has 1, received 9 [--seed]" in refused(*words, "--seed", "9")


def test_new_values_are_not_for_a_stage_that_a_later_one_has_followed():
    build("stages: second stopped")
    first, second = decided("--name", "st", "--resume", "--epochs", "8").parts
    assert (first.action, first.config.training.epochs) == ("finished", 3)
    assert "stage first is finished: new values apply to the later stages only" in first.lines
    assert (second.action, second.config.training.epochs) == ("resume", 8)


@pytest.mark.parametrize("words", [[], ["--data_csv", "faces.csv"], ["--set", "training.epochs=3"]])
def test_what_the_run_has_is_no_new_value(words):
    build("stages: second stopped")
    assert all(not part.lines for part in decided("--name", "st", "--resume", *words).parts)


def test_a_finished_run_says_what_is_not_used_and_what_trains_on():
    build("finished", ST)
    decision = decided("--name", "st", "--resume", "--lr", "0.7", "--patience", "1")
    assert decision.is_finished and decision.lines == (
        "warning: training.lr: the run has 0.1, received 0.7 [--lr]; not used: no epoch is left to "
        "train",
        "training.patience: 0 -> 1; not used: no epoch is left to train",
    )
    (line, *_) = finished_lines(decision)
    assert line == (
        "already finished: 3 epochs, best accuracy 0.5000 at epoch 1 (PublicTest); --epochs N "
        "trains on"
    )


def test_fewer_epochs_end_a_run_and_are_used():
    small_folders.trained(ST, 2)
    decision = decided("--name", "st", "--resume", "--epochs", "2", "--lr", "0.7")
    assert decision.action == "finish" and decision.config.training.epochs == 2
    assert "training.epochs: 3 -> 2; no epoch is left to train" in decision.lines
    assert any(line.endswith("not used: no epoch is left to train") for line in decision.lines)


def test_resume_without_a_run_and_without_a_csv_says_that_there_is_none():
    told = "no run in checkpoints/fer2013; --name selects another, --data_csv starts one"
    assert refused("--resume") == told
    text = refused("--save_dir", "x", "--config", "stages.yaml", "--set", "data.csv=null",
                   "--run-all-stages", "--resume")  # fmt: skip
    assert text == "no run in x; --save_dir selects another, --data_csv starts one"


def test_resume_with_a_csv_alone_never_starts_a_run_without_stages():
    build("stages: first finished")
    decision = decided("--name", "st", "--resume", "--data_csv", "faces.csv")
    assert [part.action for part in decision.parts] == ["finished", "start"]
    assert [stage.name for stage in decision.loaded.config.stages] == ["first", "second"]


def test_a_stage_before_the_one_that_it_starts_from_names_that_one():
    text = refused("--config", "stages.yaml", "--stage", "second")
    assert "stage second starts from stage first, which has not been trained" in text
    assert "init_from" not in text and not ST.exists()
    staged = decided("--config", "stages.yaml", "--run-all-stages")
    assert [part.action for part in staged.parts] == ["start", "start"]


def test_one_stage_keeps_the_configuration_of_the_run():
    """More epochs for the second stage never train the finished first one further."""
    build("stages: finished")
    staged = decided("--name", "st", "--stage", "second", "--resume", "--epochs", "8")
    assert not staged.keep_config and staged.parts[0].config.training.epochs == 8
    small_folders.write_config(
        ST / "second", {**SETTINGS, "init_from": "first", "training": {"epochs": 8}}
    )
    first, second = decided("--name", "st", "--run-all-stages", "--resume").parts
    assert (first.action, first.config.training.epochs) == ("finished", 3)
    assert (second.action, second.config.training.epochs) == ("resume", 8)


def test_the_first_stage_of_another_configuration_replaces_one_that_trained_nothing():
    build("stages: begun")
    staged = decided("--config", "stages.yaml", "--stage", "first", "--lr", "0.7")
    assert staged.keep_config and staged.loaded.config.training.lr == 0.7


def test_one_stage_is_no_reason_to_touch_a_run_without_stages():
    build("stopped")
    assert "a run without stages" in refused("--config", "stages.yaml", "--stage", "first")


def test_a_refused_value_leaves_the_configuration_of_all_stages():
    build("stages: second stopped")
    words = ["--run-all-stages", "--resume", "--name", "st", "--set", "model.width=16"]
    assert "model.width: the run has 32, received 16 [--set]" in refused(*words)


def test_stages_that_resume_without_a_snapshot_say_so():
    build("stages: begun")
    (line,) = decided("--name", "st", "--resume").lines
    assert line == "no run in checkpoints/st yet: starting from scratch"


# --- without MindSpore ----------------------------------------------------------------------------

COMMANDS = [  # words of ferspore, exit code
    ["--help", 0],
    ["train", "--help", 0],
    ["list", "--help", 0],
    ["list", 0],
    ["train", "--print_config", 0],
    ["train", "--name", "st", "--resume", "--print_config", 0],
    ["train", "--name", "st", 2],
    ["train", "--name", "done", "--resume", 0],
    ["train", "--resume", "nowhere", 2],
    ["train", "--epochs", "none", 2],
    ["train", "--set", "training.lrr=1", 2],
    ["train", "--name", "st", "--resume", "--seed", "9", 2],
    ["train", "--config", "stages.yaml", "--name", "new", "--stage", "second", 2],
]
SCRIPT = """
import json, sys
from ferspore.cli.main import main
codes = []
for *words, _ in json.loads(sys.argv[1]):
    try:
        codes.append(main(words))
    except SystemExit as end:
        codes.append(end.code)
    assert "mindspore" not in sys.modules, words
sys.stderr.write(json.dumps(codes))
"""


def test_what_trains_nothing_never_imports_mindspore():
    build("stages: second stopped")
    build("finished", Path("checkpoints/done"))
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    codes = json.loads(result.stderr.splitlines()[-1])
    assert [[*words[:-1], code] for words, code in zip(COMMANDS, codes, strict=True)] == COMMANDS
    assert "Traceback" not in result.stderr
    assert not Path("checkpoints/new").exists() and not Path("nowhere").exists()
