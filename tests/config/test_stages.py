"""One configuration of several stages."""

import pytest

from ferspore.config.loading import (
    DEFAULT,
    RUN,
    Override,
    load_config,
    over,
    parse_set,
    stage_config,
    stage_view,
)
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences
from tests.config.calls import TWO_STAGES, faults, write


def test_a_stage_overrides_what_it_names_and_nothing_else(tmp_path):
    config = load_config(write(tmp_path / "x.yaml", TWO_STAGES)).config
    first, second = (stage_config(config, name) for name in ("first", "second"))
    assert differences(config, first)[0] == ("training.epochs", 9, 3)
    # second names lr with the value that is the default, over the file's 0.2
    assert (second.training.lr, second.training.epochs) == (0.1, 9)
    assert (second.seed, second.model.blocks, second.name) == (6, (2, 2), "two")
    assert first.stages == second.stages == ()
    assert config.stages[1].init_from == "first"


def test_an_unknown_stage_lists_the_known(tmp_path):
    config = load_config(write(tmp_path / "x.yaml", TWO_STAGES)).config
    with pytest.raises(ConfigError, match="'third', expected one of: first, second"):
        stage_config(config, "third")
    with pytest.raises(ConfigError, match="no stages"):
        stage_config(Config(), "first")


def test_the_command_line_wins_over_the_stages_too(tmp_path):
    path = write(tmp_path / "x.yaml", TWO_STAGES)
    loaded = load_config(
        path,
        [Override("training.lr", 0.7, "--lr"), Override("seed", 8, "--seed"), parse_set("name=n")],
    )
    second = stage_config(loaded.config, "second")
    assert (second.training.lr, second.seed, second.name) == (0.7, 8, "n")
    assert second.training.weight_decay == 1e-4


def test_faults_of_stages_have_their_key_path_and_come_together(tmp_path):
    path = write(
        tmp_path / "x.yaml",
        """
stages:
- {name: a, init_from: b}
- {name: a, training: {lr: -1, lrr: 2}, extends: x.yaml}
- {name: b/c, init_from: b, device: CPU}
- 7
- {name: d, init_from: a}
- {name: e, init_from: other/best_model.ckpt, stages: []}
""",
    )
    lines = faults(path)
    starts = [
        "stages[0].init_from: received",
        "stages[1].name: received",
        "stages[1].training.lr: received -1",
        "stages[1].training.lrr: unknown key",
        "stages[1].extends: unknown key",
        "stages[2].name: received",
        "stages[2].init_from: received",
        "stages[2].device: unknown key",
        "stages[3]: received 7, expected a mapping",
        "stages[5].stages: unknown key",
    ]
    assert len(lines) == len(starts)
    for start in starts:
        assert any(line.startswith(start) for line in lines), start
    assert any("did you mean stages[1].training.lr?" in line for line in lines)


# --- what was given, as a stage sees it -----------------------------------------------------------


def test_a_stage_sees_its_own_values_and_their_origins(tmp_path):
    path = write(tmp_path / "x.yaml", TWO_STAGES)
    view = stage_view(load_config(path, [Override("seed", 8, "--seed")]), "second", "first")
    assert (view.config.training.lr, view.origins["training.lr"]) == (0.1, str(path))
    assert (view.config.seed, view.origins["seed"]) == (8, "--seed")
    assert (view.config.init_from, view.origins["init_from"]) == ("first", str(path))
    assert view.config.stages == ()


def test_without_stages_it_is_for_all_but_init_from_for_the_first():
    given = load_config(
        None, [Override("init_from", "w.ckpt", "--init_from"), Override("seed", 8, "--seed")]
    )
    assert stage_view(given, "first", "first") is given
    view = stage_view(given, "second", "first")
    assert (view.config.seed, view.origins["seed"]) == (8, "--seed")
    assert (view.config.init_from, view.origins["init_from"]) == (None, DEFAULT)


def test_over_a_run_only_what_was_given_wins(tmp_path):
    run = load_config(write(tmp_path / "x.yaml", TWO_STAGES)).config
    loaded = over(run, load_config(None, [Override("training.lr", 0.7, "--lr")]))
    assert {key for key, origin in loaded.origins.items() if origin == "--lr"} == {"training.lr"}
    assert set(loaded.origins.values()) == {RUN, "--lr"}
    assert (loaded.config.seed, loaded.config.training.epochs) == (5, 9)
    assert [stage_config(loaded.config, s).training.lr for s in ("first", "second")] == [0.7, 0.7]


def test_stages_that_are_given_replace_those_of_the_run(tmp_path):
    run = load_config(write(tmp_path / "x.yaml", TWO_STAGES)).config
    path = write(tmp_path / "y.yaml", TWO_STAGES.replace("epochs: 3", "epochs: 4"))
    loaded = over(run, load_config(path))
    assert stage_config(loaded.config, "first").training.epochs == 4
    assert loaded.origins["stages[0].training.epochs"] == str(path)


def test_a_null_csv_of_a_file_leaves_the_run_its_own(tmp_path):
    path = write(tmp_path / "a.yaml", "data: {csv: null, workers: 2}")
    data = over(
        load_config(None, [Override("data.csv", "faces.csv", "--data_csv")]).config,
        load_config(path),
    ).config.data
    assert (data.csv, data.workers) == ("faces.csv", 2)
