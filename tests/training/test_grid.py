"""The grid of a sweep, and what it refuses before anything is trained."""

import pytest

from ferspore.config.loading import parse_set
from ferspore.config.schema import ConfigError
from ferspore.config.yaml_text import config_yaml
from ferspore.files import file_sha256
from ferspore.run.names import FINAL
from ferspore.run.sidecar import read_sidecar
from ferspore.training.grid import SweepError, folder_name, grid, parse_axis, plan
from tests import runs
from tests.run import small_folders


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("training.lr=0.1,1e-3, 2", (0.1, 0.001, 2)),
        ("model.blocks=[1,1],[2, 2, 2]", ([1, 1], [2, 2, 2])),
        ("model.blocks=[1,1]", ([1, 1],)),
        ("training.optimizer=sgd,adamw", ("sgd", "adamw")),
        ("data.csv='a,b.csv',c.csv", ("a,b.csv", "c.csv")),
        ("augment.flip=true,false", (True, False)),
        ("seed=7", (7,)),
    ],
)
def test_values_are_split_outside_brackets_and_quotes(text, values):
    axis = parse_axis(text)
    assert (axis.key, axis.values) == (text.split("=")[0], values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed", "expected section.key=value"),
        ("=1", "expected section.key=value"),
        ("seed=", "expected a value after '='"),
        ("seed=1,2,1", "has 1 twice"),
        ("training.lr=0.1,1e-1", "twice"),
        ("model.blocks=[1,2", "expected YAML"),
    ],
)
def test_what_is_not_an_axis_is_refused(text, told):
    with pytest.raises(ConfigError, match=told):
        parse_axis(text)


def test_the_grid_is_every_combination_the_last_axis_fastest():
    points = grid([parse_axis("training.lr=0.1,0.2"), parse_axis("seed=1,2,3")])
    assert [tuple(point.values()) for point in points] == [
        (0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="seed was given twice"):
        grid([parse_axis("seed=1"), parse_axis("seed=2")])


def test_folder_names_need_no_quotes_in_a_shell():
    settings = {"training.lr": 1e-05, "model.blocks": [2, 1], "data.csv": "a b/c.csv", "seed": 1}
    name = folder_name({**settings, "augment.flip": True})
    expected = "training.lr=1e-05_model.blocks=2-1_data.csv=a-b-c.csv_seed=1_augment.flip=true"
    assert name == expected


def test_train_reads_back_the_values_of_each_point(csv, tmp_path):
    texts = ["model.blocks=[1,1],[2,2]", "training.lr=1e-05", "data.csv='1e5','on','é: #'"]
    axes = [parse_axis(text) for text in texts]
    _, points = plan(None, str(csv), axes, tmp_path)
    assert [run.config.model.blocks for run in points] == [(1, 1)] * 3 + [(2, 2)] * 3
    for run in points:
        pairs = zip(run.words, run.words[1:], strict=False)
        given = [parse_set(value) for flag, value in pairs if flag == "--set"]
        assert {one.key: one.value for one in given} == {"training.lr": 1e-05, **run.settings}
        assert run.words[-3:] == ["--save_dir", str(run.folder), "--resume"]


def test_only_the_keys_that_vary_are_in_the_names(csv, tmp_path):
    axes = [parse_axis("training.lr=0.1"), parse_axis("seed=1,2")]
    _, points = plan(None, str(csv), axes, tmp_path)
    assert [run.folder.name for run in points] == ["seed=1", "seed=2"]
    assert [run.settings for run in points] == [{"seed": 1}, {"seed": 2}]
    _, (alone,) = plan(None, str(csv), axes[:1], tmp_path)
    assert (alone.folder.name, alone.settings) == ("run", {})
    assert alone.config.training.lr == 0.1


def test_epochs_are_those_of_every_run(csv, tmp_path):
    _, points = plan(None, str(csv), [parse_axis("seed=1,2")], tmp_path, epochs=3)
    for run in points:
        assert run.config.training.epochs == 3
        assert run.words[run.words.index("--epochs") + 1] == "3"
        assert "epochs" not in run.folder.name
    with pytest.raises(ConfigError, match=r"training\.epochs: received 0"):
        plan(None, str(csv), [], tmp_path, epochs=0)


# --- what is refused before anything is trained ---------------------------------------------------


def test_every_point_is_checked_before_the_first_is_trained(csv, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.lr: received -1"):
        plan(None, str(csv), [parse_axis("training.lr=0.1,-1")], tmp_path / "sweep")
    with pytest.raises(ConfigError, match=r"did you mean training\.epochs"):
        plan(None, str(csv), [parse_axis("training.epoch=1")], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_without_a_csv_it_is_refused(tmp_path):
    with pytest.raises(SweepError, match="--data_csv"):
        plan(None, None, [parse_axis("seed=1")], tmp_path)


def test_two_points_never_share_a_folder(csv, tmp_path):
    with pytest.raises(SweepError, match=r"share a folder: .*data\.csv=a-b\.csv"):
        plan(None, str(csv), [parse_axis("data.csv=a/b.csv,a b.csv")], tmp_path)


def test_a_folder_of_another_experiment_is_refused(csv, tmp_path):
    axes = [parse_axis("seed=1")]
    _, (run,) = plan(None, str(csv), axes, tmp_path)
    run.folder.mkdir()
    (run.folder / "config.yaml").write_text(config_yaml(run.config))
    plan(None, str(csv), axes, tmp_path)  # the same one again
    (tmp_path / "other.yaml").write_text("training: {weight_decay: 0.1, epochs: 3}")
    with pytest.raises(SweepError) as caught:
        plan(str(tmp_path / "other.yaml"), str(csv), axes, tmp_path)
    for key in ("training.weight_decay", "training.epochs", "another --output"):
        assert key in str(caught.value)


def test_a_finished_run_of_another_csv_is_refused(tmp_path):
    csv = tmp_path / "faces.csv"
    csv.write_text("emotion,pixels,Usage")
    _, (run,) = plan(None, str(csv), [], tmp_path)
    run.folder.mkdir()
    (run.folder / "config.yaml").write_text(config_yaml(run.config))
    small_folders.model(run.folder, FINAL, epoch=40)
    values = read_sidecar(run.folder / FINAL).model_dump()
    small_folders.seal_beside(run.folder / FINAL, {**values, "data": {"sha256": file_sha256(csv)}})
    plan(None, str(csv), [], tmp_path)
    csv.write_text("emotion,pixels,Usage\n")
    with pytest.raises(SweepError, match=r"run: data\.csv: the run was trained on another content"):
        plan(None, str(csv), [], tmp_path)
    csv.unlink()  # what is finished can still be shown
    plan(None, str(csv), [], tmp_path)
