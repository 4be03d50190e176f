"""What a path means where a model is expected, on real folders of every kind."""

import json

import pytest

from ferspore.run.model_of import SHIPPED, NoModelError, model_of
from ferspore.run.names import BEST, SWEEP
from ferspore.run.sidecar import seal, unseal
from tests.run import small_folders


def test_a_file_is_its_own_model(tmp_path):
    small_folders.finished(tmp_path / "run")
    snapshot = next((tmp_path / "run").glob("fer-*.ckpt"))
    assert model_of(snapshot) == snapshot
    assert model_of(tmp_path / "missing.ckpt") == tmp_path / "missing.ckpt"


def test_a_run_means_its_best_model(tmp_path):
    small_folders.stopped(tmp_path / "run")
    assert model_of(tmp_path / "run") == tmp_path / "run" / BEST
    small_folders.model_alone(tmp_path / "alone")
    assert model_of(tmp_path / "alone") == tmp_path / "alone" / BEST


def test_a_staged_run_means_its_last_stage(tmp_path):
    whole, half = tmp_path / "whole", tmp_path / "half"
    small_folders.staged(whole, first=small_folders.finished, second=small_folders.stopped)
    assert model_of(whole) == whole / "second" / BEST
    small_folders.staged(half, first=small_folders.finished)
    with pytest.raises(NoModelError, match=r"half: its last stage, second, has no best model yet"):
        model_of(half)


def test_a_sweep_means_its_best_run(tmp_path):
    for name, accuracy in {"a": 0.5, "b": 0.75, "c": 0.625}.items():
        small_folders.finished(tmp_path / name)
        for sidecar in (tmp_path / name).glob("*.json"):
            values = unseal(sidecar.read_bytes())
            sidecar.write_bytes(seal({**values, "best_accuracy": accuracy}))
    with pytest.raises(NoModelError, match="it holds no run"):
        model_of(tmp_path)
    (tmp_path / SWEEP).write_text(json.dumps({}))
    assert model_of(tmp_path) == tmp_path / "b" / BEST


def test_a_run_without_a_model_says_so(tmp_path):
    small_folders.stopped(tmp_path / "run")
    (tmp_path / "run" / BEST).unlink()
    with pytest.raises(NoModelError, match=r"run: the run has no best model yet, expected a"):
        model_of(tmp_path / "run")
    with pytest.raises(NoModelError, match="it holds no run"):
        model_of(tmp_path)


def test_a_model_is_shipped():
    assert model_of(SHIPPED).stat().st_size < 1_500_000
