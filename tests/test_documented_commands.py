"""Every command that the documents, configurations and help texts print works in a fresh clone.

They run in this process, so that MindSpore is imported once, and a script as the `ferspore` command
that it is; what they would do to a process of their own (signals, MindSpore's environment) is left
out. Runs are made small.
"""

import argparse
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferspore import runtime
from ferspore.cli import common
from ferspore.cli.main import COMMANDS
from ferspore.data import practice
from ferspore.training.sweep import Interruption
from tests.documented import UnreadableError, collect, expand
from tests.runs import ROOT
from tests.use.clips import clip

FACES = {"Training": 70, "PublicTest": 7, "PrivateTest": 7}
STANDS_FOR = {  # a word, or a flag and a word -> what is run
    "X": "checkpoints/first/best_model.ckpt",
    "best_model.ckpt": "checkpoints/first/best_model.ckpt",
    "--config X": "configs/practice.yaml",
    "configs/x.yaml": "configs/default.yaml",
    "CSV": "fer2013.csv",
    "OUT": "out.json",
    "--name N": "second",
    "--devices 2": "1",  # several would be launched
    "N": "3",
    "P": "0.3",
    "RUN": "checkpoints/first",
    "A": "checkpoints/a",
    "B": "checkpoints/b",
    "IMAGE_OR_FOLDER": "folder",
    "--save_dir DIR": "elsewhere",
    "--output DIR": "drawn",
    "--resume DIR": "checkpoints/first",
    "DIR/fer-3_224.ckpt": "checkpoints/first/fer-1_1.ckpt",
    "12,40": "2,7",  # the CSV here has fewer faces
    "12,345": "2,7",
    # a grid of one run
    "training.lr=0.1,0.05": "training.lr=0.1",
    "seed=1,2,3": "seed=1",
}
TRAINERS = ("train", "sweep")  # ferspore's
# Minutes become a second: these words are added.
SMALL = {
    "training.epochs": 1, "training.batch_size": 64, "model.width": 4, "model.blocks": [1],
    "data.face_size": 16, "training.ema_decay": 0, "training.teachers": [],
    "final_phase.epochs": 0,
}  # fmt: skip
SMALLER = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
LONG = ("benchmarks/", "tests/soak", "tests/fuzz")  # only their arguments are read
ENDLESS = ("demo",)  # ferspore's, likewise: they serve until Ctrl-C
MODULES = (  # of `python -m`: not run, but have to be there
    *("pip", "pytest", "ruff", "tests.device_check", "tests.precision_proof"),
    *("tests.crash.trace", "tests.crash_states", "tests.failing_calls"),
)
CODES = {  # exit codes other than 0
    # Announced: the shipped model is there, and a run never overwrites one.
    "python src/train.py --config configs/default.yaml --data_csv fer2013.csv --name fer2013-small":
    2,
}  # fmt: skip
OWN_RUNS = {"README.md": "checkpoints/first"}  # runs that a document starts itself
DOCUMENTS = collect(ROOT)
DONE: set[tuple[str, ...]] = set()  # commands that were run; each is run once
PARSE = argparse.ArgumentParser.parse_args


@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_commands_work(document, clone, tmp_path, monkeypatch, capsys):
    home = shutil.copytree(clone, tmp_path / "clone")
    if document in OWN_RUNS:
        shutil.rmtree(home / OWN_RUNS[document])
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(clone.parent / "cache"))
    broken = [
        f"{one}\n    {why}" for one in DOCUMENTS[document] for why in faults(one.text, capsys)
    ]
    assert not broken, "\n".join(["these examples do not work:", *broken])


def test_every_command_has_an_example_beside_its_script():
    examples = [one for one in DOCUMENTS["docs/tools.md"] if one.text.startswith("ferspore ")]
    rows = {one.text.split()[1]: one.line for one in examples}
    assert rows.keys() == COMMANDS.keys()
    lines = (ROOT / "docs/tools.md").read_text().splitlines()
    for script in (*ROOT.glob("src/*.py"), *ROOT.glob("tools/*.py"), ROOT / "verify_model.py"):
        _, command = as_command(["python", str(script)])
        assert f"`{script.relative_to(ROOT)}`" in lines[rows[command] - 1]


def test_every_exit_code_is_of_a_command_that_is_printed():
    examples = [one for document in DOCUMENTS.values() for one in document]
    assert set(CODES) <= {
        shlex.join(words) for one in examples for words in expand(one.text, STANDS_FOR)
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("python tools/no_such.py", "tools/no_such.py: there is no such script"),
        ("python src/train.py --data_csv fer2013.csv --no_such 1", "exit code 2"),
        ("python src/evaluate.py --csv fer2013.csv --ckpt no_such.ckpt", "exit code 2"),
        ("python tools/list_runs.py [--no_such]", "--no_such: exit code 2"),
        ("python benchmarks/training.py --augment no_such", "invalid choice: 'no_such'"),
        ("python -m no_such", "no_such: there is no such module"),
        ("make no_such", "No rule to make target"),
        ("make samples CSV=no_such.csv", "no_such.csv"),
        ("ferspore no_such", "ferspore"),
        ("python tools/report.py WHERE", "the placeholder WHERE has no value"),
        ("python tools/report.py [a [b]]", "cannot expand"),
        ("python tools/report.py 'a", "No closing quotation"),
    ],
)
def test_an_example_that_does_not_work_is_told(text, told, clone, monkeypatch, capsys):
    monkeypatch.chdir(clone)
    found = faults(text, capsys)
    assert found and told in " ".join(found)


def test_optional_parts_and_alternatives_are_expanded():
    text = "python a.py RUN [RUN ...] [--name N | --save_dir DIR] [--pick x|y|z] --set k=[1,1] # so"
    assert [
        " ".join(words) for words in expand(text, {"RUN": "r", "--name N": "n", "DIR": "d"})
    ] == [
        "python a.py r --set k=[1,1]",
        "python a.py r r --name n --pick x --set k=[1,1]",
        "python a.py r r --save_dir d --pick y --set k=[1,1]",
        "python a.py r r --save_dir d --pick z --set k=[1,1]",
    ]


def test_commands_are_found_where_they_are_printed(tmp_path):
    for name in ("docs", "configs", "benchmarks"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").write_text(
        "`make a` and `x`\n\n    $ make b\n    output\n\n"
        "| `python c.py p\\|q` |\n```\nferspore d\n```\n"
    )
    (tmp_path / "configs" / "x.yaml").write_text("# Command: python e.py\n# prose\nmake f: 1\n")
    (tmp_path / "benchmarks" / "x.py").write_text(
        '"""Prose:\n\npython g.py\n\nmake it so\nor not: python h.py\n"""\nf(epilog="make i")\n'
    )
    found = [(one.line, one.text) for examples in collect(tmp_path).values() for one in examples]
    assert found == [
        (1, "make a"), (3, "make b"), (6, "python c.py p|q"), (8, "ferspore d"), (1, "python e.py"),
        (3, "python g.py"), (6, "python h.py"), (8, "make i"),
    ]  # fmt: skip
    (tmp_path / "README.md").write_text("    $ rm -r checkpoints\n")
    with pytest.raises(UnreadableError, match=r"README\.md:1: "):
        collect(tmp_path)


# --- running ------------------------------------------------------------------------------------


def faults(text: str, capsys) -> list[str]:
    """What is wrong with each variant of an example, run in the current folder."""
    try:
        commands = [step for words in expand(text, STANDS_FOR) for step in steps(words)]
    except UnreadableError as error:
        return [str(error)]
    return [why for words in commands if (why := fault(words, capsys))]


def steps(words: list[str]) -> list[list[str]]:
    """The commands behind a make target, as its dry run prints them; any other command itself."""
    if words[0] != "make":
        return [words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "-n", *words[1:]]
    dry = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in dry.stdout.splitlines() if line.startswith(".venv/bin/python ")]
    if dry.returncode or not lines:
        raise UnreadableError(f"{shlex.join(command)}: exit code {dry.returncode}; {dry.stderr}")
    return [shlex.split(line) for line in lines]


def fault(words: list[str], capsys) -> str | None:
    """What went wrong with the command, None if it did as announced or was run before."""
    words = ["python" if word == ".venv/bin/python" else word for word in words]
    command, words = shlex.join(words), as_command(words)
    if tuple(words) in DONE:
        return None
    DONE.add(tuple(words))
    capsys.readouterr()
    code = run(words)
    errors = capsys.readouterr().err
    if code == CODES.get(command, 0) and "Traceback" not in errors:
        return None
    return f"{command}: exit code {code}; {errors.strip().splitlines()[-1:]}"


def as_command(words: list[str]) -> list[str]:
    """The words of a script as those of the `ferspore` command that it is; any others as they
    are."""
    if words[0] != "python":
        return words
    if words[1:3] == ["-m", "ferspore"]:
        return words[2:]
    text = Path(words[1]).read_text() if Path(words[1]).is_file() else ""
    command = re.search(r'^start\("(\w+)"\)$', text, re.MULTILINE)
    return ["ferspore", command[1], *words[2:]] if command else words


def run(words: list[str]) -> int:
    """The exit code of the command, its slow parts made small."""
    program, name, *rest = words
    if program != "python":
        smaller = SMALLER if name in TRAINERS else []
        return call(program, [name, *rest, *smaller], entry_point(program))
    if name == "-m":
        there = rest[0] in MODULES and find_spec(rest[0])
        return 0 if there else common.fail(f"{rest[0]}: there is no such module")
    if not Path(name).is_file():
        return common.fail(f"{name}: there is no such script")
    return call(name, rest, lambda: runpy.run_path(name, run_name="__main__"))


def entry_point(program: str) -> Callable[[], int]:
    """The function that pyproject.toml names for an installed command."""
    entries = tomllib.loads(Path("pyproject.toml").read_text())["project"].get("scripts", {})
    if program not in entries:
        return lambda: common.fail(f"{program}: there is no such command")
    module, function = entries[program].split(":")
    return getattr(import_module(module), function)


def call(program: str, words: Sequence[str], main: Callable[[], object]) -> int:
    """The exit code of a program that is run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [program, *words])
        patch.syspath_prepend(Path(program).parent.resolve())
        if program.startswith(LONG):
            patch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
        for name in {*words[:1]} & {*ENDLESS}:
            patch.setattr(f"ferspore.cli.{name}.work", lambda arguments: 0)
        try:
            return main() or 0
        except SystemExit as end:
            return end.code or 0
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            forget_modules_below(Path.cwd())


def forget_modules_below(folder: Path) -> None:
    """What a script imports from beside it is not the next clone's."""
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]


def only_parse(parser: argparse.ArgumentParser, *arguments) -> None:
    PARSE(parser, *arguments)
    raise SystemExit(0)


# --- where they are run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process():
    """This process, ready to be many: what a script may do once is done, or is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(practice, "COUNTS", FACES)
        patch.setattr(common, "prepare", lambda **_: None)
        patch.setattr(runtime, "take_signals", lambda **_: None)
        patch.setattr(signal, "signal", lambda *_: signal.SIG_DFL)
        patch.setattr(
            Interruption, "call", lambda _, words: run(as_command(["python", *words[1:]]))
        )
        yield


@pytest.fixture(scope="module")
def clone(tmp_path_factory, process):
    """The files that git knows, here as they are now, and those that the examples suppose."""
    root = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    practice.write_practice_csv(root / "fer2013.csv", seed=3, counts=FACES)
    (root / "path" / "to").mkdir(parents=True)
    shutil.copy(root / "fer2013.csv", root / "path" / "to")
    (root / "folder").mkdir()
    face = Image.fromarray(practice.draw_faces(1, np.random.default_rng(1))[0][0])
    for name in ("photo.jpg", "folder/photo.jpg"):
        face.save(root / name)
    clip(root / "clip.mp4", [face.resize((96, 96)).convert("RGB")] * 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run(["ferspore", "train", "--data_csv", "fer2013.csv", "--name", "first"]) == 0
    for name in ("a", "b", "other"):
        shutil.copytree(root / "checkpoints" / "first", root / "checkpoints" / name)
    return root
