"""Configuration: validation, inheritance, who wins, origins, stages, round trips."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ferspore.config.loading import Override, config_from_dict, load_config, parse_set, stage_config
from ferspore.config.schema import Config, ConfigError, Training
from ferspore.config.views import auto_name, differences, format_config
from ferspore.config.yaml_text import config_yaml

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def faults(*args, **kwargs):
    """The lines of the ConfigError that load_config raises."""
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **kwargs)
    return str(caught.value).splitlines()


def fault_of(key, value):
    """The one fault of one override."""
    (line,) = faults(None, [Override(key, value, "--set")])
    return line


# --- values -------------------------------------------------------------------------------------


def test_nothing_given_is_the_defaults():
    loaded = load_config(None)
    assert loaded.config == Config()
    assert loaded.config.training.lr == 0.1
    assert loaded.config.model.blocks == (1, 1, 1)
    assert set(loaded.origins.values()) == {"default"}


def test_config_is_frozen_through_and_through():
    config = Config()
    with pytest.raises(ValidationError):
        config.seed = 2
    with pytest.raises(ValidationError):
        config.training.lr = 2.0
    assert hash(config) == hash(Config())


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", -1, "from 0 on"),
        ("seed", 2**32, "up to 4294967295"),
        ("device", "TPU", "'CPU', 'GPU' or 'Ascend'"),
        ("name", "a/b", "letters, digits"),
        ("name", "..", "letters, digits"),
        ("name", ".", "letters, digits"),
        ("name", "", "letters, digits"),
        ("name", "a\n", "letters, digits"),
        ("name", 2013, "text"),
        ("data.csv", "", "not empty"),
        ("data.csv", "a\nb", "one line"),
        ("data.csv", "a\u2028b", "one line"),
        ("data.csv", "a\0b", "control characters"),
        ("data.val_usage", "Training", "'PublicTest' or 'PrivateTest'"),
        ("data.cache", 1, "true or false"),
        ("data.cache", "yes", "true or false"),
        ("model.width", 3, "from 4 on"),
        ("model.width", 257, "up to 256"),
        ("model.blocks", [], "1 or more"),
        ("model.blocks", [1] * 5, "4 or fewer"),
        ("model.blocks", 3, "a list"),
        ("training", 5, "a mapping"),
        ("training.epochs", 0, "from 1 on"),
        ("training.epochs", "3", "a whole number"),
        ("training.epochs", 3.0, "a whole number"),
        ("training.epochs", True, "a whole number"),
        ("training.batch_size", 1, "from 2 on"),
        ("training.optimizer", "adam", "'sgd' or 'adamw'"),
        ("training.lr", 0, "above 0"),
        ("training.lr", "0.1", "a number"),
        ("training.lr", True, "a number"),
        ("training.lr", None, "a number"),
        ("training.lr", {"a": 1}, "a number"),
        ("training.lr", float("nan"), "a finite number"),
        ("training.lr", float("inf"), "a finite number"),
        ("training.momentum", 1, "below 1"),
        ("training.weight_decay", -1e-9, "from 0"),
        ("training.warmup_epochs", -1, "from 0"),
        ("training.label_smoothing", 1.0, "below 1"),
        ("training.mixup_alpha", -0.1, "from 0"),
        ("training.ema_decay", 1.0, "below 1"),
        ("training.amp_level", "O4", "'O0', 'O1', 'O2' or 'O3'"),
        ("training.patience", -1, "from 0"),
        ("training.monitor", "accuracy", "'val_accuracy' or 'val_loss'"),
        ("augment.shift", 24.5, "up to 24"),
        ("augment.rotation", 181, "up to 180"),
        ("augment.scale", 0.6, "up to 0.5"),
        ("augment.erasing", 1.1, "up to 1"),
        ("checkpoint.keep_checkpoint_max", 0, "from 1 on"),
        ("checkpoint.save_checkpoint_steps", -1, "from 0"),
        ("stages", {"name": "a"}, "a list"),
    ],
)
def test_a_wrong_value_says_key_received_expected_and_origin(key, value, expected):
    line = fault_of(key, value)
    assert line.startswith(f"{key}: received ")
    assert expected in line.split("expected", 1)[1]
    assert line.endswith("[command line (--set)]")


def test_the_received_value_is_shown():
    assert 'received "3"' in fault_of("training.epochs", "3")
    assert "received true" in fault_of("training.lr", True)
    assert len(fault_of("training.lr", "x" * 10_000)) < 200


def test_a_fault_in_a_list_names_the_place():
    assert fault_of("model.blocks", [1, 9]).startswith("model.blocks[1]: received 9")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("device", "Ascend"),
        ("name", "a.b_c-1"),
        ("data.csv", None),
        ("training.momentum", 0.0),
        ("training.ema_decay", 0.0),
        ("augment.shift", 24.0),
        ("augment.erasing", 1.0),
    ],
)
def test_the_ends_of_a_range_are_taken(key, value):
    tree = load_config(None, [Override(key, value, "--set")]).config.to_dict()
    for part in key.split("."):
        tree = tree[part]
    assert tree == value


def test_a_whole_number_is_taken_for_a_float():
    lr = load_config(None, [Override("training.lr", 1, "--lr")]).config.training.lr
    assert lr == 1.0 and isinstance(lr, float)


# --- unknown keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("training.lrr", "training.lr"),
        ("training.batchsize", "training.batch_size"),
        ("trainig.lr", "training"),
        ("batch_size", "training.batch_size"),
        ("training.flip", "augment.flip"),
    ],
)
def test_a_misspelled_key_is_refused_with_the_nearest(key, nearest):
    line = fault_of(key, 1)
    assert "unknown key, received" in line and f"did you mean {nearest}?" in line


def test_an_unknown_key_near_to_none_lists_the_known():
    line = fault_of("augment.zzz", None)
    assert "expected one of flip, shift, rotation, scale, erasing" in line


@pytest.mark.parametrize("text", ["trainnig:\n", "trainnig: {}\n", "on: 1\n", "7: 1\n"])
def test_an_unknown_key_is_refused_also_when_it_is_empty_or_no_text(tmp_path, text):
    (line,) = faults(write(tmp_path / "x.yaml", text))
    assert "unknown key" in line


def test_all_faults_of_all_files_and_the_command_line_come_together(tmp_path):
    base = write(tmp_path / "base.yaml", "training: {epochs: none}\naugment: {shft: 4}\n")
    path = write(
        tmp_path / "x.yaml",
        "extends: [base.yaml, gone.yaml]\ntraining: {lr: -1}\nstages:\n- {training: {lr: 0}}\n",
    )
    lines = faults(path, [Override("seed", -1, "--seed")])
    expected = {
        "training.epochs: received": f"[{base}]",
        "augment.shft: unknown key": f"[{base}]",
        "training.lr: received -1": f"[{path}]",
        "stages[0].name: missing": f"[{path}]",
        "stages[0].training.lr: received 0": f"[{path}]",
        "seed: received -1": "[command line (--seed)]",
        f"{tmp_path / 'gone.yaml'}: No such file": f"[extended by {path}]",
    }
    assert len(lines) == len(expected)
    for start, end in expected.items():
        assert [line for line in lines if line.startswith(start) and line.endswith(end)]


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "---\n", "training:\n# lr: 1\n"])
def test_a_file_that_says_nothing_is_the_defaults(tmp_path, text):
    assert load_config(write(tmp_path / "x.yaml", text)).config == Config()


def test_exponents_are_numbers_in_files_and_on_the_command_line(tmp_path):
    path = write(tmp_path / "x.yaml", "training: {lr: 1e-3, weight_decay: 5E-4}\n")
    training = load_config(path, [parse_set("training.mixup_alpha=2e-1")]).config.training
    assert (training.lr, training.weight_decay, training.mixup_alpha) == (1e-3, 5e-4, 0.2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("training: [1\n", ", line 2, column 1: "),
        ("training:\n  lr: 1\n lr: 2\n", ", line 3, column 2: "),
        ("seed: 1\nseed: 2\n", ", line 2, column 1: the key 'seed' stands twice"),
        ("training:\n  lr: 1\n  'lr': 2\n", ", line 3, column 3: the key 'lr' stands twice"),
        ("name: !!python/name:os.system\n", ", line 1, column 7: could not determine"),
        ("seed: *gone\n", ", line 1, column 7: found undefined alias"),
        ("seed: 1\n---\nseed: 2\n", ", line 2, column 1: but found another document"),
        ("{[1]: 2}: 3\n", "unhashable"),
        ("name: 2024-13-45\n", "month must be in 1..12"),
        ("name: \x07\n", "special characters are not allowed"),
        ("training: &t {lr: *t}\n", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("- 1\n", "received [1], expected a mapping"),
        ("5\n", "received 5, expected a mapping"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_place(tmp_path, text, problem):
    path = write(tmp_path / "x.yaml", text)
    (line,) = faults(path)
    assert line.startswith(str(path)) and problem in line


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    (line,) = faults(path)
    assert line.startswith(str(path)) and line.endswith("expected YAML")


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    (missing,) = faults(tmp_path / "gone.yaml")
    assert missing == f"{tmp_path / 'gone.yaml'}: No such file or directory, expected a YAML file"
    (folder,) = faults(tmp_path)
    assert folder == f"{tmp_path}: Is a directory, expected a YAML file"


def test_a_merge_key_is_no_duplicate(tmp_path):
    text = (
        "training: &t {lr: 0.5, epochs: 3}\n"
        "stages:\n"
        "- name: a\n  training: &u\n    <<: *t\n    lr: 0.25\n"
        "- name: b\n  training:\n    <<: *u\n    lr: 0.125\n"
    )
    config = load_config(write(tmp_path / "x.yaml", text)).config
    assert [stage.training.lr for stage in config.stages] == [0.25, 0.125]
    assert config.stages[1].training.epochs == 3


# --- extends and who wins -----------------------------------------------------------------------


def test_order_of_who_wins_and_the_origin_of_each_value(tmp_path):
    (tmp_path / "sub").mkdir()
    root = write(tmp_path / "root.yaml", "training: {lr: 1, momentum: 0.1, epochs: 1}\nseed: 11\n")
    first = write(
        tmp_path / "sub" / "first.yaml",
        "extends: ../root.yaml\ntraining: {lr: 2, patience: 2, warmup_epochs: 2}\n",
    )
    later = write(tmp_path / "later.yaml", "training: {lr: 3, patience: 3}\nmodel: {blocks: [1]}\n")
    path = write(
        tmp_path / "x.yaml",
        "extends: [sub/first.yaml, later.yaml]\ntraining: {lr: 4, epochs: 4}\n",
    )
    loaded = load_config(
        str(path),
        [Override("training.lr", 5, "--lr"), parse_set("training.lr=6"), parse_set("seed=12")],
    )
    training, origins = loaded.config.training, loaded.origins
    assert (training.lr, origins["training.lr"]) == (6, "--set")
    assert (training.epochs, origins["training.epochs"]) == (4, str(path))
    assert (training.patience, origins["training.patience"]) == (3, str(later))
    assert training.warmup_epochs == 2
    assert Path(origins["training.warmup_epochs"]).samefile(first)
    assert training.momentum == 0.1 and Path(origins["training.momentum"]).samefile(root)
    assert (training.label_smoothing, origins["training.label_smoothing"]) == (0.1, "default")
    assert (loaded.config.seed, origins["seed"]) == (12, "--set")
    assert loaded.config.model.blocks == (1,)  # replaced, not merged
    assert origins["model.blocks"] == str(later)


def test_null_wins_over_a_value_of_the_base(tmp_path):
    write(tmp_path / "base.yaml", "device: CPU\ndata: {csv: x.csv}\n")
    path = write(tmp_path / "x.yaml", "extends: base.yaml\ndevice: null\ndata: {csv: null}\n")
    config = load_config(path).config
    assert config.device is None and config.data.csv is None


def test_a_wrong_value_that_is_overridden_is_not_used(tmp_path):
    write(tmp_path / "base.yaml", "training: {lr: {a: 1}}\nmodel: 3\n")
    path = write(tmp_path / "x.yaml", "extends: base.yaml\ntraining: {lr: 1}\nmodel: {width: 8}\n")
    config = load_config(path).config
    assert (config.training.lr, config.model.width) == (1, 8)


@pytest.mark.parametrize(
    ("files", "chain"),
    [
        ({"a": "a.yaml"}, ["a", "a"]),
        ({"a": "b.yaml", "b": "./c.yaml", "c": "a.yaml"}, ["a", "b", "c", "a"]),
        ({"a": "b.yaml", "b": "b.yaml"}, ["a", "b", "b"]),
    ],
)
def test_a_cycle_is_refused_with_its_chain(tmp_path, files, chain):
    for name, base in files.items():
        write(tmp_path / f"{name}.yaml", f"extends: {base}\n")
    (line,) = faults(tmp_path / "a.yaml")
    assert line.startswith("extends: a cycle, ")
    assert line.endswith(" -> ".join(str(tmp_path / f"{name}.yaml") for name in chain))


def test_a_base_that_two_files_share_is_no_cycle(tmp_path):
    write(tmp_path / "root.yaml", "seed: 3\n")
    write(tmp_path / "a.yaml", "extends: root.yaml\n")
    write(tmp_path / "b.yaml", "extends: root.yaml\n")
    path = write(tmp_path / "x.yaml", "extends: [a.yaml, b.yaml]\n")
    assert load_config(path).config.seed == 3


@pytest.mark.parametrize("value", ["3", "[3]", "null", "{a: b}"])
def test_extends_is_a_name_or_a_list_of_names(tmp_path, value):
    (line,) = faults(write(tmp_path / "x.yaml", f"extends: {value}\n"))
    assert line.startswith("extends: received ") and "expected the name of a file" in line


def test_extends_is_no_key_of_the_command_line_or_of_a_section(tmp_path):
    assert "extends: unknown key" in fault_of("extends", "x.yaml")
    (line,) = faults(write(tmp_path / "x.yaml", "training: {extends: x.yaml}\n"))
    assert line.startswith("training.extends: unknown key")


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.lr=0.05", "training.lr", 0.05),
        ("training.lr=1e-3", "training.lr", 0.001),
        ("seed=3", "seed", 3),
        ("augment.flip=false", "augment.flip", False),
        ("model.blocks=[2, 2]", "model.blocks", [2, 2]),
        ("data.csv=a=b.csv", "data.csv", "a=b.csv"),
        ("device=", "device", None),
        ("name='2013'", "name", "2013"),
    ],
)
def test_parse_set_reads_the_value_as_yaml(text, key, value):
    override = parse_set(text)
    assert override == Override(key, value, "--set")
    assert type(override.value) is type(value)


@pytest.mark.parametrize("text", ["training.lr", "", "=3", " =3"])
def test_parse_set_wants_a_key_and_an_equals_sign(text):
    with pytest.raises(ConfigError, match=r"--set.*expected section\.key=value"):
        parse_set(text)


def test_parse_set_refuses_what_is_no_yaml():
    with pytest.raises(ConfigError, match=r"command line \(--set model.blocks=\[1\).*YAML"):
        parse_set("model.blocks=[1")


# --- stages -------------------------------------------------------------------------------------

TWO_STAGES = """
name: two
seed: 5
training: {lr: 0.2, epochs: 9}
stages:
- name: first
  training: {epochs: 3}
- name: second
  init_from: first
  seed: 6
  model: {blocks: [2, 2]}
  training: {lr: 0.1, weight_decay: 1e-4}
"""


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


# --- dicts, texts, differences ------------------------------------------------------------------

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


# --- shipped files ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_file_parses_and_opens_with_its_evidence(path):
    config = load_config(path).config
    for stage in config.stages:
        stage_config(config, stage.name)
    head = path.read_text(encoding="utf-8").splitlines()[:3]
    assert [line.split(":")[0] for line in head] == ["# Command", "# Time", "# Result"]
    assert f"--config configs/{path.name}" in head[0]


def test_the_shipped_default_names_every_value_and_is_the_default():
    loaded = load_config(next(path for path in CONFIGS if path.name == "default.yaml"))
    assert loaded.config == Config()
    assert "default" not in loaded.origins.values()


def test_mindspore_is_not_imported():
    code = "import sys, ferspore.config; sys.exit('mindspore' in sys.modules)"
    source = Path(__file__).parents[2] / "src"
    assert subprocess.run([sys.executable, "-c", code], cwd=source, check=False).returncode == 0


def test_adamw_needs_a_beta1():
    values = [Override("training.optimizer", "adamw", "--set")]
    load_config(None, values)
    with pytest.raises(ConfigError, match=r"training\.momentum: .* above 0 with adamw"):
        load_config(None, [*values, Override("training.momentum", 0, "--set")])


def test_an_automatic_name_shows_what_defines_the_run():
    def named(**changes):
        values = [Override(k.replace("__", "."), v, "--set") for k, v in changes.items()]
        return auto_name(load_config(None, values).config)

    base = named(training__epochs=50)
    assert base == "fer_resnet-w32_b128_lr0.1_e50_s1"
    assert named(training__epochs=50, data__csv="elsewhere.csv", name="x", device="CPU") == base
    assert named(training__epochs=50, training__mixup_alpha=0.2) == base + "_mixup_alpha0.2"
    assert named(training__epochs=50, model__blocks=[2, 2]) == base + "_blocks2-2"
    assert named(training__epochs=50, seed=2).endswith("_s2")
