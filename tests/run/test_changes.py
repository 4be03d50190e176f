"""Which values may change on a resume: every key is free, warned or refused."""

import re

import pytest

from ferspore.config.loading import RUN, Override, load_config
from ferspore.config.paths import dotted, flat
from ferspore.config.schema import Config, ConfigError
from ferspore.run.changes import (
    COMPARED_KEYS,
    FREE_KEYS,
    WARNED_KEYS,
    hardware_line,
    other_bits,
    resumed_config,
    run_config,
)
from ferspore.run.folder import read_folder
from tests.run import small_folders
from tests.run.decision_table import PAGE

# Another value than the run's, for every key. None is given by default: see init_from's own tests.
OTHERS = {
    "name": "other",
    "seed": 2,
    "init_from": "other.ckpt",
    "device": "CPU",
    "device_id": 1,
    "tf32": True,
    "jit_level": "O1",
    "data.csv": "moved.csv",
    "data.face_size": 24,
    "data.skip_bad_rows": True,
    "data.cache": False,
    "data.workers": 4,
    "model.stem": "5x5",
    "model.width": 16,
    "model.channels": [8, 8, 8],
    "model.blocks": [2, 2, 2],
    "model.squeeze_excite": True,
    "training.epochs": 8,
    "training.batch_size": 64,
    "training.optimizer": "adamw",
    "training.lr": 0.5,
    "training.momentum": 0.5,
    "training.weight_decay": 0.25,
    "training.warmup_epochs": 1.0,
    "training.label_smoothing": 0.25,
    "training.mixup_alpha": 0.5,
    "training.ema_decay": 0.5,
    "training.amp_level": "O2",
    "training.amp_dtype": "bfloat16",
    "training.patience": 7,
    "training.monitor": "val_loss",
    "training.teachers": ["moved.ckpt"],
    "training.teacher_weight": 0.5,
    "training.teacher_temperature": 2.0,
    "training.losses_every": 10,
    "augment.flip": False,
    "augment.shift": 1.0,
    "augment.rotation": 5.0,
    "augment.scale": 0.25,
    "augment.erasing": 0.25,
    "final_phase.epochs": 1,
    "final_phase.shift": 1.0,
    "final_phase.label_smoothing": 0.25,
    "checkpoint.keep_checkpoint_max": 3,
    "checkpoint.save_checkpoint_steps": 7,
    "logging.tensorboard": True,
    "logging.progress": False,
}
ONLY_ONE_VALUE = {"data.val_usage"}
STAGES = {"stages"}  # the decision's table has them
REFUSED_KEYS = OTHERS.keys() - FREE_KEYS - WARNED_KEYS.keys()
QUIET = {"name", *COMPARED_KEYS}  # free, and no line says so: the files' contents are compared


def values(config):
    return {dotted(path): value for path, value in flat(config.to_dict()).items()}


def given(**changes):
    """LoadedConfig of a command line; '__' stands for the dot of a key."""
    pairs = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, [Override(key, value, "--set") for key, value in pairs.items()])


@pytest.fixture
def folder(tmp_path):
    small_folders.stopped(tmp_path / "run")
    return tmp_path / "run"


def resumed(folder, loaded, snapshot=None):
    """The configuration and the lines of a resume from the newest snapshot, or another one."""
    holdings = read_folder(folder)
    found = next((s for s in holdings.snapshots if s.path.name == snapshot), holdings.newest)
    return resumed_config(found, holdings, loaded)


def test_every_key_is_classified():
    assert OTHERS.keys() | ONLY_ONE_VALUE | STAGES == values(Config()).keys()
    assert FREE_KEYS.isdisjoint(WARNED_KEYS) and FREE_KEYS | WARNED_KEYS.keys() < OTHERS.keys()


def test_the_page_names_the_same_keys():
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    kinds = {row[2].split(";")[0].split(":")[0].strip(): row[1] for row in rows if len(row) == 4}
    assert set(re.findall("`([^`]+)`", kinds["free"])) == FREE_KEYS
    assert set(re.findall("`([^`]+)`", kinds["with a warning"])) == WARNED_KEYS.keys()


@pytest.mark.parametrize("key", sorted(FREE_KEYS))
def test_a_free_key_changes_and_the_change_is_printed(folder, key):
    loaded, lines = resumed(folder, given(**{key: OTHERS[key]}))
    assert values(loaded.config)[key] == OTHERS[key]
    assert loaded.origins[key] == "--set"
    assert {origin for other, origin in loaded.origins.items() if other != key} == {RUN}
    assert [line.split(":")[0] for line in lines] == ([] if key in QUIET else [key])


@pytest.mark.parametrize("key", sorted(WARNED_KEYS))
def test_a_warned_key_changes_with_a_warning_that_names_both_values(folder, key):
    before = values(Config())[key]
    loaded, (line,) = resumed(folder, given(**{key: OTHERS[key]}))
    assert values(loaded.config)[key] == OTHERS[key]
    assert line.startswith(f"warning: {key}: the run has {before}, received {OTHERS[key]} [--set]")
    assert WARNED_KEYS[key] in line


@pytest.mark.parametrize("key", sorted(REFUSED_KEYS))
def test_a_key_that_defines_the_run_is_refused_with_both_values(folder, key):
    with pytest.raises(ConfigError) as caught:
        resumed(folder, given(**{key: OTHERS[key]}))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{key}: the run has ") and "received " in line and "[--set]" in line


def test_all_refused_keys_come_together(folder):
    with pytest.raises(ConfigError) as caught:
        resumed(folder, given(**{key: OTHERS[key] for key in OTHERS}))
    told = {line.split(":")[0] for line in str(caught.value).splitlines()}
    assert told == REFUSED_KEYS - {"model.width"}  # model.channels, given later, replaces it


@pytest.mark.parametrize("key", sorted(OTHERS.keys() - {"init_from"}))
def test_the_same_value_again_is_no_change(folder, key):
    config = read_folder(folder).config
    loaded, lines = resumed(folder, given(**{key: values(config)[key]}))
    assert (loaded.config, lines) == (config, [])


def test_nothing_given_is_the_run(folder):
    loaded, lines = resumed(folder, load_config(None))
    assert loaded.config == read_folder(folder).config and not lines
    assert set(loaded.origins.values()) == {RUN}


def test_other_hardware_or_settings_are_named():
    then = {"device": "CPU", "chip": "EPYC", "drivers": "", "tf32": "off"}
    now = {"device": "Ascend", "chip": "910B", "drivers": "CANN 8.2", "tf32": "off"}
    assert hardware_line(then, now) == (
        "warning: the snapshot was written with device CPU, chip EPYC, drivers unknown; this "
        "process has device Ascend, chip 910B, drivers CANN 8.2: the bits may differ"
    )
    assert hardware_line(now, now) is None
    assert hardware_line({}, now) is None  # older snapshots do not say


# --- epochs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        ({"cores": 3}, ["2 CPU cores, this process has 3"]),
        ({"world_size": 4}, ["trained on 1 device, continuing on 4"]),
    ],
)
def test_other_cores_and_devices_are_said_to_change_the_bits(folder, now, said):
    sidecar = read_folder(folder).newest.sidecar
    lines = other_bits(sidecar, **{"cores": sidecar.cores, "world_size": 1, "hardware": {}, **now})
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert part in line and line.endswith("the bits will differ")


def test_another_mindspore_is_named(folder):
    sidecar = read_folder(folder).newest.sidecar
    older = sidecar.model_copy(update={"versions": {**sidecar.versions, "mindspore": "1.0"}})
    (line,) = other_bits(older, cores=sidecar.cores, world_size=1, hardware={})
    assert "written with mindspore 1.0; this process has mindspore" in line


def test_epochs_below_what_has_begun_are_refused(folder):
    with pytest.raises(ConfigError, match=r"epochs: received 1, but epoch 2 has begun"):
        resumed(folder, given(training__epochs=1))


def test_epochs_that_have_begun_may_be_the_last(folder):
    loaded, (line,) = resumed(folder, given(training__epochs=2))
    assert loaded.config.training.epochs == 2
    assert "training.epochs: 3 -> 2" in line and "from step 7 on" in line


@pytest.fixture
def phased(tmp_path):
    settings = {**small_folders.SETTINGS, "final_phase": {"epochs": 2}}
    small_folders.stopped(tmp_path / "run", settings=settings)
    return tmp_path / "run"


def test_the_final_phase_moves_with_the_end(phased):
    loaded, (line,) = resumed(phased, given(training__epochs=9))
    assert loaded.config.final_phase.epochs == 2
    assert line.endswith("from step 7 on; the final phase begins with epoch 8")


def test_epochs_below_the_final_phase_are_refused(tmp_path):
    settings = {**small_folders.SETTINGS, "final_phase": {"epochs": 3}}
    small_folders.stopped(tmp_path / "run", settings=settings)
    with pytest.raises(ConfigError, match=r"^final_phase\.epochs: received 3, .* which is 2 \["):
        resumed(tmp_path / "run", given(training__epochs=2))


# --- init_from ------------------------------------------------------------------------------------


@pytest.fixture
def started_from(tmp_path):
    settings = {**small_folders.SETTINGS, "init_from": "weights.ckpt"}
    small_folders.stopped(tmp_path / "run", settings=settings)
    return tmp_path / "run"


def test_the_weights_that_the_run_started_from_are_no_change(started_from):
    for loaded in (given(init_from="weights.ckpt"), given(init_from=None)):
        config, lines = resumed(started_from, loaded)
        assert config.config.init_from == "weights.ckpt" and not lines


def test_other_weights_are_refused(started_from):
    with pytest.raises(ConfigError, match=r'has "weights.ckpt", received "other.ckpt" \[--set\]'):
        resumed(started_from, given(init_from="other.ckpt"))


def test_format_1_did_not_record_them(tmp_path):
    small_folders.trained(tmp_path / "run", 2, run="")
    (tmp_path / "run" / "fer-1_4.ckpt").unlink()
    loaded, lines = resumed(tmp_path / "run", given(init_from="other.ckpt"))
    assert loaded.config.init_from is None
    assert lines == ["init_from: other.ckpt is ignored, the run continues with its weights"]


# --- where the run's values stand -----------------------------------------------------------------


def test_config_yaml_keeps_what_the_run_was_last_given(folder):
    small_folders.write_config(folder, {**small_folders.SETTINGS, "training": {"epochs": 9}})
    loaded, lines = resumed(folder, load_config(None))
    assert loaded.config.training.epochs == 9 and not lines


def test_an_older_snapshot_has_its_own_values(folder):
    small_folders.write_config(folder, {**small_folders.SETTINGS, "training": {"epochs": 9}})
    loaded, _ = resumed(folder, load_config(None), "fer-1_4.ckpt")
    assert loaded.config.training.epochs == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {"width": 64}},  # of another run
        {"training": {"epochs": 1}},  # below what has begun
    ],
)
def test_a_configuration_that_is_not_of_the_snapshot_is_not_used(folder, settings):
    small_folders.write_config(folder, settings)
    holdings = read_folder(folder)
    own = holdings.newest.sidecar.config
    assert run_config(holdings.newest, holdings).to_dict() == own
