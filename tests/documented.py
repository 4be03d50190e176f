"""The command lines that the documents, the configurations and the help texts print.

Commands are collected from code blocks and inline code, optional parts in [brackets] and
alternatives with | are expanded, and placeholders get values. Nothing is run here.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STARTS = ("python ", ".venv/bin/python ", "ferspore ", "make ")
HELP = ("src/ferspore/cli/*.py", "benchmarks/*.py", "tests/soak*.py", "tests/fuzz*.py")
HELP_KEYWORDS = ("description", "epilog", "help", "usage")


class UnreadableError(ValueError):
    """An example that cannot be made into words."""


@dataclass(frozen=True)
class Example:
    """A command as it is printed, and where."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def collect(root: Path) -> dict[str, list[Example]]:
    """The examples of each document in the order of its lines; "configs" and "help" are one each.

    Raises:
        UnreadableError: a line after a "$ " prompt begins with none of ``STARTS``.
    """
    found = {}
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        found[str(path.relative_to(root))] = list(in_markdown(path.relative_to(root), root))
    found["configs"] = [
        one for path in sorted((root / "configs").glob("*.yaml")) for one in in_comments(path, root)
    ]
    scripts = [path for pattern in HELP for path in sorted(root.glob(pattern))]
    found["help"] = [one for path in scripts for one in in_help(path, root)]
    return {name: examples for name, examples in found.items() if examples}


def in_markdown(name: Path, root: Path) -> Iterator[Example]:
    fenced = False
    for number, line in enumerate((root / name).read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            text = line.strip()
            if text.startswith("$ ") and not text[2:].startswith(STARTS):
                raise UnreadableError(f"{name}:{number}: {text}: expected one of {STARTS}")
            if text.removeprefix("$ ").startswith(STARTS):
                yield Example(str(name), number, text.removeprefix("$ "))
        else:
            for code in re.findall(r"`([^`]+)`", line):
                if code.startswith(STARTS):
                    yield Example(str(name), number, code.replace(r"\|", "|"))


def in_comments(path: Path, root: Path) -> Iterator[Example]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = re.sub(r"^#\s*(Command:\s*)?", "", line)
        if line.startswith("#") and text.startswith(STARTS):
            yield Example(str(path.relative_to(root)), number, text)


def in_help(path: Path, root: Path) -> Iterator[Example]:
    """Those of the module's docstring and of the texts given to argparse."""
    tree = ast.parse(path.read_text())
    texts = [tree.body[0].value] if ast.get_docstring(tree) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in HELP_KEYWORDS:
            texts.append(node.value)
    for node in texts:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for number, text in in_prose(node.value):
                yield Example(str(path.relative_to(root)), node.lineno + number, text)


def in_prose(text: str) -> Iterator[tuple[int, str]]:
    """(line from 0, command): whole paragraphs of commands, and what follows ": " in a line."""
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines):
        paragraph = [line]
        for others in (reversed(lines[:number]), lines[number + 1 :]):
            for other in others:
                if not other:
                    break
                paragraph.append(other)
        if all(one.startswith(STARTS) for one in paragraph):
            yield number, line
        elif (match := re.search(": (.+)$", line)) and match[1].startswith(STARTS):
            yield number, match[1]


def expand(text: str, stands_for: dict[str, str]) -> list[list[str]]:
    """The words of the command without its optional parts, then with all of them, once for each
    alternative. ``stands_for``: word, or flag and word -> what it stands for.

    Raises:
        UnreadableError: unbalanced quotes, nested brackets, or a placeholder without a value.
    """
    fixed = re.split(r"(?<=\s)\[([^][]*)\]", text)
    options = [alternatives(part) for part in fixed[1::2]]
    texts = ["".join(fixed[::2])]
    for i in range(max(map(len, options), default=0)):
        chosen = [option[min(i, len(option) - 1)] for option in options]
        texts.append("".join(a + b for a, b in zip(fixed[::2], [*chosen, ""], strict=True)))
    variants = [words_of(one, stands_for) for one in texts]
    return [words for i, words in enumerate(variants) if words not in variants[:i]]


def alternatives(part: str) -> list[str]:
    """ "--name N | --save_dir DIR" and "--select a|b" -> each of them."""
    if " | " in part:
        return part.split(" | ")
    head, _, last = part.rpartition(" ")
    return [f"{head} {one}" for one in last.split("|")]


def words_of(text: str, stands_for: dict[str, str]) -> list[str]:
    try:
        words = [word for word in shlex.split(text, comments=True) if word != "..."]
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    words = [
        stands_for.get(f"{before} {word}", stands_for.get(word, word))
        for before, word in zip(["", *words], words, strict=False)
    ]
    for word in words:
        if re.fullmatch(r"[A-Z][A-Z_]*", word):
            raise UnreadableError(f"the placeholder {word} has no value")
        if re.match(r"\[|[^=]*\]$", word) or "|" in word:
            raise UnreadableError(f"cannot expand {word!r}")
    return words
