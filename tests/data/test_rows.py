"""Every kind of bad row: named by line, dropped on request, without harm to its neighbours."""

import csv
import random

import pytest

from ferspore.data import rows
from tests.data.csv_files import HEADER, PX, ROWS, check, error_of, official, quiet, write


def with_pixel(place: int, value: str) -> str:
    values = PX.split()
    values[place - 1] = value
    return " ".join(values)


BAD_ROWS = {
    "emotion above": (f"7,{PX},Training", "emotion is '7', expected an integer from 0 to 6"),
    "emotion below": (f"-1,{PX},Training", "emotion is '-1'"),
    "emotion fraction": (f"3.0,{PX},Training", "emotion is '3.0'"),
    "emotion word": (f"happy,{PX},Training", "emotion is 'happy'"),
    "emotion empty": (f",{PX},Training", "emotion is ''"),
    "emotion NaN": (f"NaN,{PX},Training", "emotion is 'NaN'"),
    "a pixel less": (f"0,{PX.rpartition(' ')[0]},Training", "2,303 pixels, expected 2,304"),
    "a pixel more": (f"0,{PX} 7,Training", "2,305 pixels, expected 2,304"),
    "no pixels": ("0,,Training", "0 pixels, expected 2,304"),
    "256": (f"0,{with_pixel(17, '256')},Training", "pixel 17 is '256', expected an integer from 0"),
    "999": (f"0,{with_pixel(1, '999')},Training", "pixel 1 is '999'"),
    "65537": (f"0,{with_pixel(5, '65537')},Training", "pixel 5 is '65537'"),
    "2**64": (f"0,{with_pixel(5, '18446744073709551616')},Training", "pixel 5 is '184467440"),
    "negative": (f"0,{with_pixel(2304, '-1')},Training", "pixel 2304 is '-1'"),
    "plus": (f"0,{with_pixel(2, '+5')},Training", "pixel 2 is '+5'"),
    "1.0": (f"0,{with_pixel(2, '1.0')},Training", "pixel 2 is '1.0'"),
    "hexadecimal": (f"0,{with_pixel(2, '0x1')},Training", "pixel 2 is '0x1'"),
    "semicolon": (f"0,{with_pixel(2, '1;2')},Training", "pixel 2 is '1;2'"),
    "other digits": (f"0,{with_pixel(2, '٣')},Training", "pixel 2 is '٣'"),
    "no UTF-8": (f"0,{with_pixel(2, 'x')},Training".replace("x", "\udcff"), "pixel 2 is '\ufffd'"),
    "zero byte": (f"0,{with_pixel(2304, chr(0))},Training", "pixel 2304 is '\\x00'"),
    "zero byte behind": (f"0,{PX}\0,Training", "pixel 2304 is '" + PX.split()[-1] + "\\x00'"),
    "usage unknown": (f"0,{PX},Test", "Usage is 'Test', expected Training, PublicTest, Private"),
    "usage case": (f"0,{PX},training", "Usage is 'training'"),
    "usage empty": (f"0,{PX},", "Usage is ''"),
    "short": (f"0,{PX}", "2 fields, expected 3"),
    "one field": ("hello", "1 field, expected 3"),
    "long": (f"0,{PX},Training,x", "4 fields, expected 3"),
    "long but empty": (f"0,{PX},Training,", "4 fields, expected 3"),
    "lost closing quote": (f'0,"{PX},Training', "broken quotes"),
    "text behind quotes": (f'0,"{PX}" 5,Training', "broken quotes"),
    "digit behind quotes": (f'0,"{with_pixel(2304, "7")}"5,Training', "broken quotes"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_row_is_named_by_line_and_can_be_dropped(tmp_path, kind):
    row, fault = BAD_ROWS[kind]
    lines = official().splitlines()
    lines.insert(5, row)  # the sixth line of the file
    text = "\n".join(lines) + "\n"
    if "\0" in row:  # far behind the start, where a zero byte says that it is no text
        text = official(ROWS * 3) + row + "\n"
        line, rows = 1 + 3 * len(ROWS) + 1, ROWS * 3
    else:
        line, rows = 6, ROWS
    path = write(tmp_path / "faces.csv", text.encode(errors="surrogateescape"))
    message = error_of(path)
    assert message.startswith(f"{path}: 1 bad row (")
    assert f"\n  line {line}: {fault}" in message
    assert message.count("\n") == 1
    table, said = quiet(path, skip_bad_rows=True)
    check(table, rows)
    assert table.skipped == 1
    assert said[1].startswith(f"faces.csv: 1 bad row dropped, the first at line {line}: {fault}")


@pytest.mark.parametrize("place", [1, len(ROWS) + 1], ids=["first", "last"])
@pytest.mark.parametrize("kind", ["long", "short", "lost closing quote", "usage empty"])
def test_bad_row_at_the_ends(tmp_path, kind, place):
    row, fault = BAD_ROWS[kind]
    lines = official().splitlines()
    lines.insert(place, row)
    path = write(tmp_path / "faces.csv", "\n".join(lines))
    assert f"\n  line {place + 1}: {fault}" in error_of(path)
    check(quiet(path, skip_bad_rows=True)[0])


def test_one_pixel_moved_to_the_next_row_is_two_bad_rows(tmp_path):
    """The number of pixels in the file is right, and no row is."""
    rows = [("0", PX.rpartition(" ")[0], "Training"), ("0", PX + " 7", "Training")]
    message = error_of(write(tmp_path / "faces.csv", official(rows)))
    assert "line 2: 2,303 pixels" in message
    assert "line 3: 2,305 pixels" in message


def test_every_row_too_long(tmp_path):
    """pandas alone would take the first field for an index, or drop the last."""
    text = official().replace("Test\n", "Test,\n").replace("Training\n", "Training,\n")
    message = error_of(write(tmp_path / "faces.csv", text))
    assert f"{len(ROWS)} bad rows" in message
    assert "line 2: 4 fields, expected 3" in message


def test_first_five_of_all_bad_rows(tmp_path):
    bad = [("9", PX, "Training")] * 8
    path = write(tmp_path / "faces.csv", official([*ROWS, *bad]))
    message = error_of(path)
    first = len(ROWS) + 2
    assert message.startswith(f"{path}: 8 bad rows")
    assert [int(part.split(":")[0]) for part in message.split("line ")[1:]] == [
        *range(first, first + 5)
    ]
    assert message.endswith("and 3 more")


def test_all_faults_of_a_row(tmp_path):
    path = write(tmp_path / "faces.csv", official([("x", "300 1 a", "Nope")]))
    message = error_of(path)
    for fault in ("emotion is 'x'", "3 pixels", "pixel 1 is '300'", "(2 such)", "Usage is 'Nope'"):
        assert fault in message
    assert "no faces" in error_of(path, skip_bad_rows=True)


def test_lines_are_counted_with_blank_lines_quoted_newlines_and_crlf(tmp_path):
    quoted = PX.replace(" ", "\r\n", 10)
    text = "\r\n".join(
        [
            "",
            HEADER,
            "",
            f'0,"{quoted}",Training',
            "   ",
            f"8,{PX},Training",
            f'9,"{quoted}",Training',
            f"0,{PX},Nope",
        ]
    )
    message = error_of(write(tmp_path / "faces.csv", text))
    # line 4 + 10 newlines in its quotes -> blank 15, bad 16, bad 17 (+ 10), bad 28
    assert [part.split(":")[0] for part in message.split("line ")[1:]] == ["16", "17", "28"]


def test_bad_rows_of_other_splits_are_found(tmp_path):
    path = write(tmp_path / "faces.csv", official([*ROWS, ("7", PX, "PrivateTest")]))
    assert "emotion is '7'" in error_of(path, ("Training",))


def test_rows_around_open_quotes_survive(tmp_path):
    """The first open quote ends at the second's: what lies between them is read again."""
    broken = f'0,"{PX},Training'
    lines = official().splitlines()
    lines[3:3] = lines[6:6] = [broken]
    path = write(tmp_path / "faces.csv", "\n".join(lines))
    message = error_of(path)
    assert message.startswith(f"{path}: 2 bad rows")
    assert "line 4: broken quotes" in message and "line 7: broken quotes" in message
    check(quiet(path, skip_bad_rows=True)[0])


def read_again_from_every_line(text: str) -> list[tuple[int, list[str] | None]]:
    """The oracle: after broken quotes (None), everything behind the row's first line is reread."""
    lines = text.splitlines(keepends=True)
    records, place = [], 0
    while place < len(lines):
        reader = csv.reader(lines[place:], strict=True)
        try:
            records.append((place + 1, next(reader)))
            place += reader.line_num
        except csv.Error:
            records.append((place + 1, None))
            place += 1
    return [(number, fields) for number, fields in records if fields != []]


def test_records_equal_those_of_a_reader_that_starts_over():
    generator = random.Random(0)
    broken = several_lines = 0
    for _ in range(5000):
        text = "".join(generator.choices('"x,\n', (3, 2, 2, 2), k=40))
        found = [
            (number, None if isinstance(fields, str) else fields)
            for number, fields in rows.read_records(text.encode())
        ]
        assert found == read_again_from_every_line(text), repr(text)
        broken += sum(fields is None for _, fields in found)
        several_lines += sum("\n" in "".join(fields or ()) for _, fields in found)
    assert broken > 1000 and several_lines > 1000


@pytest.mark.parametrize("line", ['x","\n', 'x,"\n'])
def test_no_line_is_read_more_than_three_times_for_broken_quotes(monkeypatch, line):
    read = 0
    plain_reader = csv.reader

    def counted(lines):
        nonlocal read
        for text in lines:
            read += 1
            yield text

    monkeypatch.setattr(
        rows.csv, "reader", lambda lines, **options: plain_reader(counted(lines), **options)
    )
    assert list(rows.read_records((line * 3000).encode()))
    assert 0 < read <= 3 * 3000
