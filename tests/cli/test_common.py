"""What the commands share: arguments, what is missing, exit codes."""

import pytest

from ferspore.cli import common, confusion
from ferspore.data.csv import DataError
from tests import runs
from tests.cli.calls import words, work


def test_bad_input_is_one_line_and_exit_code_2(trained, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    done = runs.call(
        "--csv", trained / "data.csv", "--ckpt", "bad.ckpt", "--output", "out",
        cwd=tmp_path, script="tools/plot_confusion.py",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("plot_confusion.py: bad.ckpt: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--ckpt", "missing.ckpt"), "missing.ckpt: no such file"),
        (("--ckpt", "."), r"\.: it holds no run, expected a .ckpt file or the folder of a run"),
        (("--csv", "missing.csv"), "missing.csv: no such file"),
    ],
)
def test_what_is_missing_is_named(trained, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message) as caught:
        work(confusion, *words(trained, tmp_path / "out"), *changed)
    assert isinstance(caught.value, common.ToolError | DataError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_exit_codes(monkeypatch, capsys):
    monkeypatch.setattr(common.runtime, "prepare", lambda verbose: [])  # MindSpore is loaded here
    monkeypatch.setattr(common.runtime, "take_signals", lambda: None)

    def code(error=None, result=None):
        def work(_):
            if error is not None:
                raise error
            return result

        return common.run(work, common.parser(None), [])

    assert code(common.ToolError("a: wrong")) == code(DataError("b: wrong")) == 2
    assert code(PermissionError(13, "Permission denied", "out")) == 1
    assert code() == 0 and code(result=1) == 1
    assert all("wrong" in line or "denied" in line for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("flag", ["--json", "--output"])
@pytest.mark.parametrize(
    "name",
    ["best_model.ckpt", "final_model.json", "fer-2_10.json", "x.ckpt", "own.json", "config.yaml"]
    + ["metrics.jsonl", "run.lock", "sweep.json", "link"],
)
def test_no_output_goes_over_a_file_of_a_run(tmp_path, monkeypatch, capsys, flag, name):
    monkeypatch.setattr(common, "prepare", lambda verbose: None)
    monkeypatch.setattr(common.runtime, "take_signals", lambda: None)
    (tmp_path / "own.ckpt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "metrics.jsonl")
    parser = common.parser(None)
    parser.add_argument(flag)
    assert common.run(lambda _: None, parser, [flag, str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{flag} {tmp_path / name}: that is the name of a run's file" in line
    assert common.run(lambda _: None, parser, [flag, str(tmp_path / "scores.json")]) == 0


@pytest.mark.parametrize("of", ["--csv", "--ckpt"])
def test_no_output_goes_over_what_is_read(tmp_path, monkeypatch, capsys, of):
    monkeypatch.setattr(common, "prepare", lambda verbose: None)
    monkeypatch.setattr(common.runtime, "take_signals", lambda: None)
    path, link = tmp_path / "faces.csv", tmp_path / "link"
    path.write_text("precious")
    link.symlink_to(path)
    for flag in ("--json", "--output"):
        parser = common.parser(None)
        parser.add_argument(of)
        parser.add_argument(flag)
        for name in (path, link):
            assert common.run(lambda _: None, parser, [of, str(path), flag, str(name)]) == 2
            assert f"{flag} {name}: that is the file to be read" in capsys.readouterr().err
        assert common.run(lambda _: None, parser, [of, str(path), flag, str(tmp_path)]) == 0


def test_hyphens_become_underscores_in_names_only():
    given = ["--save-dir", "a-b", "--set-x=c-d", "-v", "--", "--my-photo.jpg"]
    expected = ["--save_dir", "a-b", "--set_x=c-d", "-v", "--", "--my-photo.jpg"]
    assert common.with_underscores(given) == expected
