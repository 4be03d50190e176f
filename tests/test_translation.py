"""README.zh-CN.md is kept in step with README.md: its commands, figures, files and headings."""

import re
from collections import Counter

import pytest

from tests.runs import ROOT

ENGLISH, CHINESE = (ROOT / "README.md").read_text(), (ROOT / "README.zh-CN.md").read_text()


def code(text):
    """The lines of the code blocks, without their comments."""
    lines = re.sub(r"```\w*\n(.*?)```", lambda m: indented(m[1]), text, flags=re.S).splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("    ")]


def indented(block):
    return "".join(f"    {line}\n" for line in block.splitlines())


def prose(text):
    """What is left: no code blocks, pictures, links' addresses or the other language's name."""
    text = re.sub(r"```[^`]*```|^    [^\n]*|<img[^>]*>", "", text, flags=re.M)
    return re.sub(r"\]\([^)]*\)", "]", text)


WHAT = {
    "commands": code,
    "inline code": lambda text: Counter(re.findall(r"`[^`\n]+`", prose(text))),
    "figures": lambda text: Counter(
        re.findall(r"\d+(?:[.,x]\d+)*%?", re.sub(r"`[^`\n]+`", "", prose(text)))
    ),
    "pictures": lambda text: re.findall(r'<img src="(\S+)" width="(\d+)"', text),
    "links": lambda text: [
        link
        for link in re.findall(r"\]\(([^)#]+)", text)
        if link not in ("README.md", "README.zh-CN.md")
    ],
    "headings and rows": lambda text: Counter(re.findall(r"^(#+ |\||- )", prose(text), flags=re.M)),
}


@pytest.mark.parametrize("what", WHAT)
def test_the_chinese_readme_is_in_step(what):
    found = WHAT[what](ENGLISH)
    assert found
    assert WHAT[what](CHINESE) == found
