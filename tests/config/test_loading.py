"""Files, what they extend and the command line: who wins, and where each value came from."""

import os
from pathlib import Path

import pytest

from ferspore.config.loading import Override, load_config, over, parse_set, stage_config
from ferspore.config.schema import Config, ConfigError
from tests.config.calls import fault_of, faults, write

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


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
        ("seed: 1\nseed: 2\n", ", line 2, column 1: the key 'seed' occurs twice"),
        ("training:\n  lr: 1\n  'lr': 2\n", ", line 3, column 3: the key 'lr' occurs twice"),
        ("name: !!python/name:os.system\n", ", line 1, column 7: could not determine"),
        ("seed: *gone\n", ", line 1, column 7: found undefined alias"),
        ("seed: 1\n---\nseed: 2\n", ", line 2, column 1: but found another document"),
        ("{[1]: 2}: 3\n", "unhashable"),
        ("name: 2024-13-45\n", "month must be in 1..12"),
        ("name: \x07\n", "special characters are not allowed"),
        ("training: &t {lr: *t}\n", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("seed: 1:30\n", ", line 1, column 7: 1:30 is no decimal number"),
        ("seed: 0x" + "f" * 5000, ", line 1, column 7: 0xfff"),
        ("seed: " + "1" * 5000, "integer string conversion"),
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


def test_the_later_of_width_and_channels_counts(tmp_path):
    write(tmp_path / "base.yaml", "model: {width: 8, channels: null, blocks: [1, 1]}\n")
    path = write(tmp_path / "x.yaml", "extends: base.yaml\nmodel: {channels: [8, 12]}\n")
    model = load_config(path).config.model
    assert (model.width, model.architecture()["channels"]) == (None, (8, 12))
    model = load_config(path, [parse_set("model.width=16")]).config.model
    assert (model.channels, model.architecture()["channels"]) == (None, (16, 32))
    given = load_config(None, [parse_set("model.channels=[4, 6, 8]")])
    model = over(Config(), given).config.model
    assert model.architecture()["channels"] == (4, 6, 8)


def test_a_stage_may_change_width_or_channels(tmp_path):
    text = "model: {channels: [8, 12, 16]}\nstages: [{name: a}, {name: b, model: {width: 8}}]\n"
    path = write(tmp_path / "x.yaml", text)
    config = load_config(path).config
    assert stage_config(config, "a").model.architecture()["channels"] == (8, 12, 16)
    assert stage_config(config, "b").model.architecture()["channels"] == (8, 16, 32)
    given = load_config(path, [parse_set("model.channels=[4, 4, 4]")])
    assert stage_config(given.config, "b").model.architecture()["channels"] == (4, 4, 4)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("{width: 8, channels: [8, 16, 32]}", "expected either width or channels"),
        ("{width: null}", "expected either width or channels"),
        ("{channels: [8, 16]}", "expected as many channels as blocks, one of each for a stage"),
    ],
)
def test_width_and_channels_that_do_not_fit_are_refused(tmp_path, model, expected):
    path = write(tmp_path / "x.yaml", f"model: {model}\n")
    (line,) = faults(path)
    assert line.startswith("model: received {") and f"{expected} [{path}]" in line


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


def test_bases_that_multiply_are_refused(tmp_path):
    for level in range(20):  # 2**20 paths lead to the last
        write(tmp_path / f"{level}.yaml", f"extends: [{level + 1}.yaml, {level + 1}.yaml]\n")
    write(tmp_path / "20.yaml", "seed: 3\n")
    lines = faults(tmp_path / "0.yaml")
    assert lines[0].startswith("extends: more than 100 files [") and len(lines) < 100


def test_what_is_no_small_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    write(tmp_path / "large.yaml", "#" * (1 << 20) + "\n")
    for name, told in {
        "pipe.yaml": "not a regular file, expected a YAML file",
        "large.yaml": "1,048,577 bytes, expected at most 1,048,576",
    }.items():
        (line,) = faults(tmp_path / name)
        assert line == f"{tmp_path / name}: {told}"
    (line,) = faults(write(tmp_path / "x.yaml", 'extends: "a\\0b"\n'))
    assert line.startswith("extends: received ") and "expected the name of a file" in line


def test_aliases_that_multiply_are_refused(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    (line,) = faults(write(tmp_path / "x.yaml", "\n".join(lines)))
    assert "more than 100,000 values" in line


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
        ("seed=-1_010", "seed", -1010),
        ("seed=010", "seed", 10),  # as --seed 010
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
