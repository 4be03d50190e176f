"""A promise has one row in docs/reliability.md, that of its last proof."""

from tests.reliability import HEAD, PAGE, record


def test_a_row_takes_the_place_of_its_promise_or_comes_last(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{HEAD}\n|---|\n| old | a | b |\n| kept | c |\n\nText.\n")
    record("old", "make x", "3", "fine", page)
    record("new", "make y", "4", "fine", page)
    lines = page.read_text().splitlines()
    assert lines[:3] == ["# Title", "", HEAD] and lines[-2:] == ["", "Text."]
    assert [line.split(" | ")[:2] for line in lines[4:7]] == [
        ["| old", "`make x`"], ["| kept", "c |"], ["| new", "`make y`"],
    ]  # fmt: skip


def test_the_page_has_the_table():
    assert HEAD in PAGE.read_text(encoding="utf-8").splitlines()
