"""A configuration as a dict, as text, against another one, as a name."""

import json

import pytest
import yaml

from ferspore.config.loading import Override, config_from_dict, load_config
from ferspore.config.schema import Config, ConfigError, Training
from ferspore.config.views import auto_name, differences, format_config, without_folders
from ferspore.config.yaml_text import config_yaml
from tests.config.calls import TWO_STAGES, write

AWKWARD = [
    Override("name", "1e5", "--name"),
    Override("data.csv", 'C: \\ünïcode # it\'s: [a] "path" ' + "long " * 40, "--csv"),
    Override("training.lr", 1e-7, "--lr"),
    Override("training.weight_decay", 1 / 3, "--weight_decay"),
    Override("model.blocks", (2, 3), "--set"),
    Override(
        "stages",
        [
            {"name": "no", "seed": 0, "training": {"lr": 0.1}, "data": {"csv": None}},
            {"name": "2", "init_from": "no", "model": {"blocks": [1, 1]}, "augment": {}},
        ],
        "--set",
    ),
]


@pytest.fixture
def awkward():
    return load_config(None, AWKWARD)


def test_to_dict_is_plain_json_and_reads_back(awkward):
    tree = awkward.config.to_dict()
    assert json.loads(json.dumps(tree)) == tree
    again = config_from_dict(tree, "sidecar.json")
    assert differences(again, awkward.config) == []
    assert again.to_dict() == tree  # the keys that a stage names are kept, not only the values
    assert tree["stages"][0]["training"] == {"lr": 0.1}


@pytest.mark.parametrize("text_of", [lambda x: config_yaml(x.config), format_config])
def test_both_texts_read_back_as_the_same_configuration(tmp_path, awkward, text_of):
    again = load_config(write(tmp_path / "config.yaml", text_of(awkward))).config
    assert again.to_dict() == awkward.config.to_dict()


def test_config_yaml_keeps_the_order_of_the_keys():
    assert list(yaml.safe_load(config_yaml(Config()))) == list(Config.model_fields)


def test_format_config_writes_the_origin_behind_each_value_in_one_column(tmp_path):
    path = write(tmp_path / "x.yaml", "training: {epochs: 3}\nstages: [{name: a, seed: 4}]\n")
    loaded = load_config(path, [Override("seed", 9, "--seed")])
    rows = [line.split("  #") for line in format_config(loaded).splitlines()]
    origins = {text.strip(): tail[0].strip() for text, *tail in rows if tail}
    assert origins["seed: 9"] == "--seed"
    assert origins["epochs: 3"] == str(path)
    assert origins["lr: 0.1"] == "default"
    assert origins["- name: a"] == str(path)
    assert next(text for text, *tail in rows if not tail) == "data:"
    assert len({len(text) for text, *tail in rows if tail}) == 1


def test_config_from_dict_fills_defaults_and_names_its_source():
    assert config_from_dict({"training": {"epochs": 3}}, "s.json") == Config(
        training=Training(epochs=3)
    )
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"training": {"epoch": 3}, "seed": "1"}, "s.json")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and all(line.endswith("[s.json]") for line in lines)
    with pytest.raises(ConfigError, match=r"expected a mapping of keys \[s.json\]"):
        config_from_dict([1], "s.json")


def test_reading_does_not_change_what_it_was_given():
    stages = [{"name": "a", "training": {"lr": 0.5}}]
    tree = {"stages": stages}
    config_from_dict(tree, "x")
    load_config(None, [Override("stages", stages, "--set"), Override("training.lr", 1, "--lr")])
    assert tree == {"stages": [{"name": "a", "training": {"lr": 0.5}}]}


def test_differences_are_told_by_key_path(tmp_path):
    assert differences(Config(), config_from_dict(Config().to_dict(), "x")) == []
    old = load_config(write(tmp_path / "x.yaml", TWO_STAGES)).config
    new = load_config(
        write(tmp_path / "y.yaml", TWO_STAGES.replace("epochs: 3", "epochs: 4")),
        [Override("model.blocks", [1], "--set"), Override("data.csv", "f.csv", "--csv")],
    ).config
    assert differences(old, new) == [
        ("data.csv", None, "f.csv"),
        ("model.blocks", [1, 1, 1], [1]),
        ("stages[0].training.epochs", 3, 4),
        ("stages[1].model.blocks", [2, 2], None),
    ]


def test_an_automatic_name_shows_what_defines_the_run():
    def named(**changes):
        values = [Override(k.replace("__", "."), v, "--set") for k, v in changes.items()]
        return auto_name(load_config(None, values).config)

    base = named()
    assert base == "fer_resnet-w32_b128_lr0.1_s1"
    assert named(data__csv="elsewhere.csv", name="x", device="CPU") == base
    assert named(training__epochs=50, training__patience=3) == base  # a resume may change them
    assert named(training__mixup_alpha=0.2) == base + "_mixup_alpha0.2"
    assert named(training__epochs=50, final_phase__epochs=5) == base + "_final_epochs5"
    assert named(model__blocks=[2, 2]) == base + "_blocks2-2"
    assert named(training__epochs=50, seed=2).endswith("_s2")
    of_channels = named(training__epochs=50, model__stem="5x5", model__channels=[16, 64, 96])
    assert of_channels == base.replace("w32", "c16-64-96") + "_stem5x5"


def test_without_folders_paths_are_bare_names():
    values = {
        "init_from": "/a/b.ckpt",
        "data": {"csv": "../c/d.csv"},
        "training": {"teachers": ["/e/f.ckpt", "g.ckpt"]},
    }
    bare = without_folders(config_from_dict(values, "test"))
    assert bare.init_from == "b.ckpt" and bare.data.csv == "d.csv"
    assert bare.training.teachers == ("f.ckpt", "g.ckpt")
    assert without_folders(Config()) == Config()
