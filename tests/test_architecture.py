"""The order of imports that docs/architecture.md draws, and the other rules of the house."""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pytest

from tests.runs import ROOT

PAGE = "docs/architecture.md"
WITHOUT_MINDSPORE = ("run", "config", "data", "pictures")  # not even in a function
STARTS_WITHOUT = ("cli", "files", "labels", "tables", "runtime", "cluster")  # in a function only
LINES = 400
MEASURED = ("src", "tests", "tools", "benchmarks", ".")


@dataclass(frozen=True)
class Import:
    """``module`` may be the name of something in a module: that is cut off where it matters."""

    module: str
    line: int
    where: Literal["module", "function", "typing"]


class House:
    """The modules below ``root``/src, by their dotted names, and what docs/architecture.md says."""

    def __init__(self, root: Path):
        self.root = root
        self.page = (root / PAGE).read_text(encoding="utf-8")
        source = root / "src"
        self.paths = {dotted(path.relative_to(source)): path for path in source.rglob("*.py")}
        self.imports = {
            name: imports_in(ast.parse(path.read_text(encoding="utf-8")))
            for name, path in self.paths.items()
        }

    @cached_property
    def levels(self) -> dict[str, int]:
        """Package -> its line in the diagram, counted from the leaves."""
        pattern = r"^## .*imports.*\n(?:(?!##| {4}).*\n)*((?: {4}.*\n)+)"
        diagram = re.search(pattern, self.page, re.MULTILINE)
        assert diagram, f"{PAGE}: no diagram below a heading about imports"
        lines = [line.split() for line in diagram[1].splitlines()]
        return {name: level for level, line in enumerate(reversed(lines)) for name in line}

    def module_of(self, imported: str) -> str | None:
        """``ferspore.files.write_file`` -> ``ferspore.files``; None for another library's."""
        if imported.partition(".")[0] != "ferspore":
            return None
        return imported if imported in self.paths else imported.rpartition(".")[0] or imported

    def loads_mindspore(self, module: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether importing ``module`` imports MindSpore."""
        if module.partition(".")[0] == "mindspore":
            return True
        own = self.module_of(module)
        if own is None or own in seen:
            return False
        return any(
            self.loads_mindspore(one.module, seen | {own})
            for name in (own, own.rpartition(".")[0])  # its package is imported first
            for one in self.imports.get(name, ())
            if one.where == "module"
        )

    # --- the rules --------------------------------------------------------------------------------

    def against_the_order(self) -> list[str]:
        faults = []
        for name, found in self.imports.items():
            for one in found:
                imported = self.module_of(one.module)
                if imported == "ferspore" or not (imported or one.module.startswith(".")):
                    continue
                mine, theirs = package(name), package(imported or "")
                below = self.levels.get(theirs, 99) < self.levels.get(mine, -1)
                if imported not in self.paths or (mine != theirs and not below):
                    faults.append(f"{name}:{one.line} imports {one.module}")
        return faults

    def with_mindspore(self) -> list[str]:
        forbidden = {**dict.fromkeys(WITHOUT_MINDSPORE, ("module", "function", "typing"))}
        forbidden |= dict.fromkeys(STARTS_WITHOUT, ("module",))
        return [
            f"{name}:{one.line} imports {one.module}"
            for name, found in self.imports.items()
            for one in found
            if one.where in forbidden.get(package(name), ()) and self.loads_mindspore(one.module)
        ]

    def too_long(self) -> list[str]:
        paths = {
            path
            for folder in MEASURED
            for path in (self.root / folder).glob("*.py" if folder == "." else "**/*.py")
        }
        lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
        return [f"{path.name}: {n} lines" for path, n in lengths.items() if n > LINES]

    def not_on_the_page(self) -> list[str]:
        """Packages and leaves that the diagram or the text leaves out."""
        names = {package(name) for name in self.paths if name.startswith("ferspore.")}
        said = set(re.findall(r"`(\w+)(?:/|\.py)", self.page))
        return sorted(names - {"__main__"} - (said & self.levels.keys()))

    def not_in_the_house(self) -> list[str]:
        """Files that the page names and that are not there."""
        named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.\w+|[\w-]+\.py)`", self.page))
        bases = (self.root, self.root / "src/ferspore", self.root / "docs")
        return sorted(n for n in named if not any((base / n).is_file() for base in bases))


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def package(module: str) -> str:
    """``ferspore.run.folder`` -> ``run``, and ``ferspore.files`` -> ``files``."""
    parts = module.split(".")
    if parts[0] != "ferspore" or parts[1:] == ["__main__"]:
        return "cli"  # the scripts src/train.py, src/evaluate.py and python -m ferspore
    return parts[1] if len(parts) > 1 else ""


def imports_in(tree: ast.AST, where: Literal["module", "function", "typing"] = "module"):
    """All imports, those of functions and of ``if TYPE_CHECKING`` as well."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, where) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found += [Import(f"{base}.{alias.name}", node.lineno, where) for alias in node.names]
        else:
            inner = where
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inner = "function"
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                inner = "typing"
            found += imports_in(node, inner)
    return found


# --- the house as it is ---------------------------------------------------------------------------

RULES = ["against_the_order", "with_mindspore", "too_long", "not_on_the_page", "not_in_the_house"]


@pytest.fixture(scope="module")
def house() -> House:
    return House(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule, house):
    assert len(house.paths) > 80
    assert getattr(house, rule)() == []


# --- a house that does not ------------------------------------------------------------------------

SMALL_PAGE = """\
# Architecture

## The order of imports

    cli
    training
    pictures
    run
    config  data
    runtime

`cli/`, `training/`, `pictures/`, `run/`, `config/`, `data/`, `runtime.py`
"""


def built(root: Path, files: dict[str, str], page: str = SMALL_PAGE) -> House:
    modules = [
        "cli/main",
        "training/step",
        "pictures/x",
        "run/x",
        "config/x",
        "data/__init__",
        "runtime",
    ]
    (root / "docs").mkdir(parents=True)
    (root / PAGE).write_text(page)
    sound = {f"src/ferspore/{name}.py": "" for name in modules}
    sound["src/ferspore/training/step.py"] = "import mindspore"
    for name, text in {**sound, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return House(root)


ALLOWED = {
    "src/train.py": "from ferspore.cli.main import main",
    "src/ferspore/cli/train.py": (
        "from ferspore import runtime\nfrom ferspore.run import x\n"
        "def f():\n  import mindspore\n  from ferspore.training.step import y"
    ),
    "src/ferspore/training/run.py": "from ferspore.pictures.x import z",
    "src/ferspore/run/y.py": "import ferspore\nimport mindspore_like\nfrom ferspore.run.x import q",
    "tests/long.py": "#\n" * LINES,
}


def test_a_sound_house_has_no_fault(tmp_path):
    small = built(tmp_path, ALLOWED)
    assert {rule: getattr(small, rule)() for rule in RULES} == {rule: [] for rule in RULES}


@pytest.mark.parametrize(
    ("rule", "file", "text"),
    [
        ("against_the_order", "run/y", "from ferspore.training.step import a"),
        ("against_the_order", "run/y", "def f():\n  from ferspore.cli import main"),
        ("against_the_order", "pictures/y", "import ferspore.training.step"),
        ("against_the_order", "config/y", "from ferspore import data"),  # beside it
        ("against_the_order", "runtime", "if TYPE_CHECKING:\n  from ferspore.run.x import R"),
        ("against_the_order", "cli/y", "from ferspore.other.x import a"),  # not in the diagram
        ("against_the_order", "cli/y", "from ferspore.run.gone import a"),  # not there
        ("against_the_order", "run/y", "from ..training.step import a"),  # relative
        ("with_mindspore", "run/y", "def f():\n  import mindspore.nn"),
        ("with_mindspore", "pictures/y", "from mindspore import Tensor"),
        ("with_mindspore", "data/y", "if TYPE_CHECKING:\n  import mindspore"),
        ("with_mindspore", "config/y", "def f():\n  from ferspore.training.step import a"),
        ("with_mindspore", "cli/y", "from ferspore.training import step"),
        ("with_mindspore", "cli/y", "try:\n  import mindspore\nexcept ImportError: pass"),
        ("with_mindspore", "runtime", "class A:\n  import mindspore"),
        ("too_long", "run/y", "#\n" * (LINES + 1)),
        ("not_on_the_page", "other/y", ""),
        ("not_on_the_page", "leaf", ""),
    ],
)
def test_each_rule_can_be_broken(rule, file, text, tmp_path):
    assert getattr(built(tmp_path, {f"src/ferspore/{file}.py": text}), rule)()


@pytest.mark.parametrize("file", ["tests/run/x.py", "tools/x.py", "benchmarks/x.py", "x.py"])
def test_no_file_may_be_too_long(file, tmp_path):
    assert built(tmp_path, {file: "#\n" * (LINES + 1)}).too_long() == ["x.py: 401 lines"]


def test_the_page_names_what_is_there(tmp_path):
    page = f"{SMALL_PAGE}`run/x.py` `run/gone.py` `docs/gone.md`"
    assert built(tmp_path, {}, page).not_in_the_house() == ["docs/gone.md", "run/gone.py"]
    assert "run" in built(tmp_path / "b", {}, SMALL_PAGE.replace("`run/`", "")).not_on_the_page()
