"""`ferspore` finds each command; help is cheap; without MindSpore there is one clear line."""

import os
import signal
import subprocess
import sys

import pytest

import ferspore
from ferspore.cli import main
from tests import runs

SRC = str(runs.ROOT / "src")


def python(*words: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": SRC, **environment},
        cwd=runs.ROOT,
        timeout=60,
    )


def test_help_lists_the_commands_and_imports_none():
    code = """if True:
        import sys
        from ferspore.cli import main
        assert not any(f"ferspore.cli.{name}" in sys.modules for name in main.COMMANDS)
        main.main(["--help"])
    """
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("usage: ferspore ")
    for name, text in main.COMMANDS.items():
        assert any(line.split() == [name, *text.split()] for line in lines)


@pytest.mark.parametrize("command", main.COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(command):
    code = f"""if True:
        import sys
        from ferspore.cli.main import main
        try:
            main(["{command}", "--help"])
        finally:
            heavy = {{"mindspore", "matplotlib", "pandas", "cv2", "PIL"}} & sys.modules.keys()
            assert not heavy, heavy
    """
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: ferspore {command} ")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"ferspore {ferspore.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["list", "--no-such"], "ferspore list: error: unrecognized arguments: --no_such"),
        (["verify", "--ckpt", "no.ckpt"], "ferspore verify: no.ckpt: no such file"),
    ],
)
def test_misuse_is_told_under_the_command_s_name(words, message):
    done = python("-m", "ferspore", *words)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


SCRIPTS = {
    "src/train.py": "train",
    "src/evaluate.py": "evaluate",
    "verify_model.py": "verify",
    "tools/generate_correct_samples.py": "samples",
    "tools/generate_wrong_samples.py": "mistakes",
    "tools/plot_confusion.py": "confusion",
    "tools/plot_history.py": "history",
    "tools/explain.py": "explain",
    "tools/predict.py": "predict",
    "tools/report.py": "report",
    "tools/compare_checkpoints.py": "compare",
    "tools/audit_data.py": "audit",
    "tools/sweep.py": "sweep",
    "tools/list_runs.py": "list",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_its_command(script, tmp_path):
    """Of its own clone, whatever ferspore is installed."""
    other = tmp_path / "ferspore"
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemExit('another ferspore')")
    by_script = python(runs.ROOT / script, "--help", COLUMNS="80", PYTHONPATH=str(tmp_path))
    by_command = python("-m", "ferspore", SCRIPTS[script], "--help", COLUMNS="80")
    name = script.rpartition("/")[2]
    assert by_script.stdout.startswith(f"usage: {name} ")
    about = by_command.stdout.partition("\n\n")[2]
    assert about and by_script.stdout.endswith(about)


EARLY = """if True:
    import sys, time, types
    slow = sys.modules["ferspore.cli.slow"] = types.ModuleType("slow")
    slow.main = lambda words: (print("ready", flush=True), time.sleep(60))
    from ferspore.cli.start import start
    start("slow")
"""


def interrupted(*words, wait):
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    wait(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_an_interrupt_is_one_line(tmp_path):
    """In the first moments of any command, and in a tool that hangs in a system call."""
    told = (130, "interrupted\n")
    assert interrupted("-c", EARLY, wait=lambda process: process.stdout.readline()) == told
    held, pipe = [], tmp_path / "pipe"
    os.mkfifo(pipe)
    tool = runs.ROOT / "tools" / "plot_history.py"
    assert interrupted(tool, pipe, wait=lambda _: held.append(pipe.open("w"))) == told
    held[0].close()


def test_without_mindspore_there_is_one_line():
    # -S: without the packages that are installed in this Python
    words = ["--csv", "my faces.csv", "--ckpt", "y"]
    for called, name in (
        (["src/evaluate.py"], "python src/evaluate.py"),
        (["tools/plot_confusion.py"], "python tools/plot_confusion.py"),
        (["-m", "ferspore", "evaluate"], "ferspore evaluate"),
    ):
        done = python("-S", *called, *words)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"MindSpore is not installed in this Python ({sys.executable})" in done.stderr
        told = f"First: make setup; then: .venv/bin/{name} --csv 'my faces.csv' --ckpt y"
        assert done.stderr.endswith(f"{told}\n")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train", {"--epochs N": "40", "--patience N": "0", "--lr X": "0.1"}),
        ("samples", {"--num_samples": "5", "--seed": "0", "--usage": "PublicTest"}),
    ],
)
def test_help_tells_the_defaults(command, told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    text = capsys.readouterr().out
    for flag, default in told.items():
        option = text.partition(f"\n  {flag}")[2].partition("\n  -")[0]
        assert option.endswith(f"(default: {default})"), option
    assert "default: None" not in text and "SUPPRESS" not in text
