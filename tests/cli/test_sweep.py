"""`sweep` starts `ferspore train` for each point of its grid."""

from tests import runs


def test_a_sweep_of_one_run(tmp_path):
    csv = runs.small_csv(tmp_path / "data.csv")
    words = [*runs.settings_words(csv, training__epochs=1), "--output", "grid"]
    done = runs.call(*words, cwd=tmp_path, script="tools/sweep.py")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grid" / "sweep.json").exists()
    assert "mean best accuracy" in done.stdout
    assert "accuracy on PublicTest, which also selected each run's best epoch\n" in done.stdout


def test_a_setting_that_does_not_exist_is_misuse(tmp_path):
    done = runs.call("--set", "training.lrr=1,2", cwd=tmp_path, script="tools/sweep.py")
    assert done.returncode == 2
    assert done.stderr.startswith("sweep.py: training.lrr: unknown key")
