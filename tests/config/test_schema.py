"""What a value may be, and what is said of one that it may not be."""

import pytest
from pydantic import ValidationError

from ferspore.config.loading import Override, load_config
from ferspore.config.schema import Config, ConfigError
from tests.config.calls import fault_of, faults, write


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
        ("seed", -1, "at least 0"),
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
        ("data.val_usage", "Training", "'PublicTest': training never uses PrivateTest"),
        ("data.val_usage", "PrivateTest", "'PublicTest': training never uses PrivateTest"),
        ("data.cache", 1, "true or false"),
        ("data.cache", "yes", "true or false"),
        ("model.width", 3, "at least 4"),
        ("model.width", 257, "up to 256"),
        ("model.stem", "7x7", "'3x3' or '5x5'"),
        ("model.blocks", [], "1 or more"),
        ("model.blocks", [1] * 5, "4 or fewer"),
        ("model.blocks", 3, "a list"),
        ("training", 5, "a mapping"),
        ("training.epochs", 0, "at least 1"),
        ("training.epochs", "3", "a whole number"),
        ("training.epochs", 3.0, "a whole number"),
        ("training.epochs", True, "a whole number"),
        ("training.batch_size", 1, "at least 2"),
        ("training.batch_size", 10**12 + 1, "up to 1000000"),
        ("training.optimizer", "adam", "'sgd' or 'adamw'"),
        ("training.lr", 0, "above 0"),
        ("training.lr", "0.1", "a number"),
        ("training.lr", True, "a number"),
        ("training.lr", None, "a number"),
        ("training.lr", {"a": 1}, "a number"),
        ("training.lr", float("nan"), "a finite number"),
        ("training.lr", float("inf"), "a finite number"),
        ("training.momentum", 1, "below 1"),
        ("training.weight_decay", -1e-9, "at least 0"),
        ("training.warmup_epochs", -1, "at least 0"),
        ("training.label_smoothing", 1.0, "below 1"),
        ("training.mixup_alpha", -0.1, "at least 0"),
        ("training.ema_decay", 1.0, "below 1"),
        ("training.amp_level", "O4", "'O0', 'O2' or 'O3'"),
        ("training.patience", -1, "at least 0"),
        ("training.monitor", "accuracy", "'val_accuracy' or 'val_loss'"),
        ("training.teachers", "a.ckpt", "a list"),
        ("training.teacher_weight", 0, "above 0"),
        ("training.teacher_weight", 1.1, "up to 1"),
        ("training.teacher_temperature", 0, "at least 0.01"),
        ("training.teacher_temperature", 1e200, "up to 100"),
        ("augment.shift", 24.5, "up to 24"),
        ("final_phase.epochs", -1, "at least 0"),
        ("final_phase.epochs", 41, "up to training.epochs, which is 40"),
        ("final_phase.shift", 25, "up to 24"),
        ("augment.rotation", 181, "up to 180"),
        ("augment.scale", 0.6, "up to 0.5"),
        ("augment.erasing", 1.1, "up to 1"),
        ("checkpoint.keep_checkpoint_max", 0, "at least 1"),
        ("checkpoint.save_checkpoint_steps", -1, "at least 0"),
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
    assert fault_of("model.channels", [8, 3, 8]).startswith("model.channels[1]: received 3")
    for name in ("ranks", ".writing-a", "a.ckpt"):  # the run's own, and what init_from means
        fault = fault_of("stages", [{"name": name}])
        assert fault.startswith(f'stages[0].name: received "{name}", expected a')


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
        ("final_phase.epochs", 40),
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


def test_adamw_needs_a_beta1():
    values = [Override("training.optimizer", "adamw", "--set")]
    load_config(None, values)
    with pytest.raises(ConfigError, match=r"training\.momentum: .* above 0 with adamw"):
        load_config(None, [*values, Override("training.momentum", 0, "--set")])
