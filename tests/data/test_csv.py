"""The loader against hand-made files: every good layout, every kind of bad row, the cache."""

import gzip
import hashlib
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ferspore.data.csv import DataError, Faces, FaceTable, load_csv

SRC = Path(__file__).parents[2] / "src"
HEADER = "emotion,pixels,Usage"


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def draw_pixels(seed: int) -> str:
    generator = random.Random(seed)
    return " ".join(str(generator.randrange(256)) for _ in range(2304))


def make_rows() -> list[tuple[str, str, str]]:
    """Nine rows whose splits alternate, with the extremes 0 and 255 among the pixels."""
    splits = ("Training", "PublicTest", "PrivateTest")
    rows = [(str(i % 7), draw_pixels(i), splits[i * i % 3 if i < 7 else 2]) for i in range(9)]
    rows[0] = ("0", " ".join(["0"] * 2304), "Training")
    rows[1] = ("1", " ".join(["255"] * 2304), "PublicTest")
    return rows


ROWS = make_rows()
ALL = ("Training", "PublicTest", "PrivateTest")


def official(rows=ROWS) -> str:
    return "\n".join([HEADER, *(",".join(row) for row in rows)]) + "\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def expected(split: str, rows=ROWS) -> tuple[list[int], list[list[int]]]:
    """The oracle: labels and pixels of a split by str.split and int alone."""
    chosen = [row for row in rows if row[2] == split]
    labels = [int(emotion) for emotion, _, _ in chosen]
    return labels, [[int(value) for value in pixels.split()] for _, pixels, _ in chosen]


def check(table: FaceTable, rows=ROWS, splits=ALL) -> None:
    assert list(table.splits) == list(splits)
    for split, faces in table.splits.items():
        labels, pixels = expected(split, rows)
        assert faces.images.dtype == faces.labels.dtype == np.uint8
        assert faces.images.shape == (len(labels), 48, 48)
        assert len(faces) == len(labels)
        assert faces.labels.tolist() == labels
        assert faces.images.reshape(-1, 2304).tolist() == pixels


def error_of(path: Path, usages=("Training",), **options) -> str:
    with pytest.raises(DataError) as caught:
        load_csv(path, usages, report=lambda line: None, **options)
    return str(caught.value)


def quiet(path: Path, usages=ALL, **options) -> tuple[FaceTable, list[str]]:
    lines: list[str] = []
    return load_csv(path, usages, report=lines.append, **options), lines


# Good files


def icml(rows=ROWS) -> str:
    return "\n".join(
        ["emotion, Usage, pixels", *(f"{emotion},{usage},{px}" for emotion, px, usage in rows)]
    )


GOOD = {
    "official": official(),
    "no newline at the end": official().rstrip("\n"),
    "icml_face_data": icml(),
    "CRLF": official().replace("\n", "\r\n"),
    "CR": official().replace("\n", "\r"),
    "byte-order mark": "\ufeff" + official(),
    "byte-order mark and quotes": "\ufeff" + '"emotion","pixels","Usage"' + official()[20:],
    "quoted pixels": "\n".join([HEADER, *(f'{e},"{px}",{u}' for e, px, u in ROWS)]),
    "everything quoted": "\r\n".join([HEADER, *(f'"{e}","{px}","{u}"' for e, px, u in ROWS)]),
    "newlines in quotes": "\n".join(
        [HEADER, *(f'{e},"{px.replace(" ", chr(10), 3)}",{u}' for e, px, u in ROWS)]
    ),
    "blank lines": "\n" + official().replace("\n", "\n\n") + "  \n\n",
    "blanks around values": "\n".join([HEADER, *(f" {e} ,  {px} , {u} " for e, px, u in ROWS)]),
    "wide blanks in pixels": official([(e, px.replace(" ", " \t "), u) for e, px, u in ROWS]),
    "leading zeros": official(
        [(e, " ".join(p.zfill(3) for p in px.split()), u) for e, px, u in ROWS]
    ),
    "a further column": "\n".join(
        ["id," + HEADER, *(f'"{i},é",{",".join(row)}' for i, row in enumerate(ROWS))]
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", GOOD)
def test_good_layouts_equal_plain_python(tmp_path, layout):
    path = write(tmp_path / "faces.csv", GOOD[layout])
    parsed, said = quiet(path)
    check(parsed)
    assert "read in" in said[0]
    cached, said = quiet(path)
    check(cached)
    assert "from the cache" in said[0]
    assert parsed.skipped == cached.skipped == 0
    assert parsed.counts == cached.counts
    assert list(cached.counts) == list(ALL)


def test_more_rows_than_a_block_keep_their_order(tmp_path):
    rows = [(str(i % 7), draw_pixels(i), ALL[i * 7 // 5 % 3]) for i in range(600)]
    path = write(tmp_path / "faces.csv", official(rows))
    check(quiet(path)[0], rows)
    rows[300] = ("7", *rows[300][1:])
    path = write(tmp_path / "faces.csv", official(rows))
    check(quiet(path, skip_bad_rows=True)[0], [row for i, row in enumerate(rows) if i != 300])


def test_every_pixel_value_at_every_length(tmp_path):
    values = [*range(256)] * 9
    rows = [("3", " ".join(map(str, values[i:] + values[:i])), "Training") for i in range(5)]
    path = write(tmp_path / "faces.csv", official(rows))
    check(quiet(path, ["Training"])[0], rows, ["Training"])


def test_gzip_and_zip(tmp_path):
    packed = write(tmp_path / "faces.csv.gz", gzip.compress(official().encode()))
    table, _ = quiet(packed)
    check(table)
    assert table.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    check(quiet(packed)[0])
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "about")
        archive.writestr("__MACOSX/._faces.csv", "\0")
        archive.writestr("folder/faces.CSV", official())
    check(quiet(tmp_path / "faces.zip")[0])


def test_only_what_is_asked_for(tmp_path):
    path = write(tmp_path / "faces.csv", official())
    for _ in ("parsed", "cached"):
        table, _ = quiet(path, ("PublicTest",))
        check(table, splits=("PublicTest",))
        assert table.counts == {s: len(expected(s)[0]) for s in ALL}
    assert table.path == path
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_report_names_file_and_counts(tmp_path):
    path = write(tmp_path / "faces.csv", official([r for r in ROWS if r[2] != "PrivateTest"]))
    _, said = quiet(path, ("Training",))
    counts = {split: len(expected(split)[0]) for split in ALL}
    start = f"faces.csv: {counts['Training']} Training, {counts['PublicTest']} PublicTest faces ("
    assert len(said) == 1
    assert said[0].startswith(start)


# Bad rows


PX = ROWS[3][1]


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
    "a pixel less": (f"0,{PX.rpartition(' ')[0]},Training", "2303 pixels, expected 2304"),
    "a pixel more": (f"0,{PX} 7,Training", "2305 pixels, expected 2304"),
    "no pixels": ("0,,Training", "0 pixels, expected 2304"),
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
    "usage unknown": (f"0,{PX},Test", "Usage is 'Test', expected Training, PublicTest, Private"),
    "usage case": (f"0,{PX},training", "Usage is 'training'"),
    "usage empty": (f"0,{PX},", "Usage is ''"),
    "short": (f"0,{PX}", "2 fields, expected 3"),
    "one field": ("hello", "1 field, expected 3"),
    "long": (f"0,{PX},Training,x", "4 fields, expected 3"),
    "long but empty": (f"0,{PX},Training,", "4 fields, expected 3"),
    "lost closing quote": (f'0,"{PX},Training', "broken quotes"),
    "text behind quotes": (f'0,"{PX}" 5,Training', "broken quotes"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_row_is_named_by_line_and_can_be_dropped(tmp_path, kind):
    row, fault = BAD_ROWS[kind]
    lines = official().splitlines()
    lines.insert(5, row)  # the sixth line of the file
    text = "\n".join(lines) + "\n"
    if kind == "zero byte":  # far behind the start, where a zero byte says that it is no text
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
    assert "line 2: 2303 pixels" in message
    assert "line 3: 2305 pixels" in message


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


# Bad files


def test_files_that_cannot_be_read(tmp_path):
    assert "no such file" in error_of(tmp_path / "none.csv")
    assert "is a folder" in error_of(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in error_of(tmp_path / "pipe.csv")


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_empty_file(tmp_path, text):
    path = write(tmp_path / "faces.csv", text)
    assert error_of(path).startswith(f"{path}: the file is empty")


def test_header_alone(tmp_path):
    assert "without rows" in error_of(write(tmp_path / "faces.csv", HEADER + "\n\n"))


def test_missing_and_repeated_columns(tmp_path):
    path = write(tmp_path / "faces.csv", f"\nemotion,pixel\n0,{PX}\n")
    message = error_of(path)
    assert message.startswith(f"{path}: line 2: no column pixels, no column Usage")
    assert "received emotion,pixel, expected emotion,pixels,Usage" in message
    path = write(tmp_path / "faces.csv", f"emotion,pixels,Usage,pixels\n0,{PX},Training,{PX}\n")
    assert "column pixels twice" in error_of(path)
    assert "broken quotes" in error_of(
        write(tmp_path / "faces.csv", '"emotion,pixels,Usage\n0,1\n')
    )
    assert "no column emotion" in error_of(write(tmp_path / "faces.csv", official()[21:]))


@pytest.mark.parametrize("content", [official().encode("utf-16"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_not_text(tmp_path, content):
    assert "not text in UTF-8" in error_of(write(tmp_path / "faces.csv", content))


def test_damaged_archives(tmp_path):
    packed = gzip.compress(official().encode())
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("faces.csv", official())
    zipped = (tmp_path / "good.zip").read_bytes()
    broken = bytearray(zipped)
    broken[len(zipped) // 2] ^= 0xFF
    for name, content in {
        "cut.csv.gz": packed[:-100],
        "flipped.csv.gz": bytes(flipped),
        "text.csv.gz": official().encode(),
        "cut.zip": zipped[:-100],
        "flipped.zip": bytes(broken),
        "text.zip": official().encode(),
    }.items():
        message = error_of(write(tmp_path / name, content))
        assert "cannot be unpacked" in message, name


@pytest.mark.parametrize("names", [["a.csv", "b.csv"], ["faces.txt"], []])
def test_zip_without_exactly_one_csv(tmp_path, names):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, official())
    count = sum(name.endswith(".csv") for name in names)
    assert f"expected exactly one .csv inside, found {count}" in error_of(path)


def test_missing_split_lists_what_is_there(tmp_path):
    rows = [row for row in ROWS if row[2] != "PrivateTest"]
    path = write(tmp_path / "faces.csv", official(rows))
    for _ in ("parsed", "cached"):
        message = error_of(path, ("Training", "PrivateTest"))
        assert message.startswith(f"{path}: no faces of PrivateTest; it has Training (")
        assert "PublicTest (" in message


def test_unknown_split_is_refused_before_the_file_is_touched(tmp_path):
    message = error_of(tmp_path / "none.csv", ("publictest",))
    assert "unknown split 'publictest' (did you mean PublicTest?)" in message
    assert "expected Training, PublicTest, PrivateTest" in message
    assert "did you mean" not in error_of(tmp_path / "none.csv", ("xyz",))


# The cache


def cache_files(home: Path) -> dict[str, Path]:
    return {path.name: path for path in home.rglob("*") if path.is_file()}


def test_cache_holds_one_file_a_split_and_no_leftovers(tmp_path, cache_home):
    quiet(write(tmp_path / "faces.csv", official()), ("Training",))
    names = {f"{split}.faces" for split in ALL} | {"table.json"}
    assert set(cache_files(cache_home)) == names


def test_cache_is_keyed_by_content(tmp_path):
    """Same size, same times, same inode: only the content tells."""
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    before = path.stat()
    changed = [("6", ROWS[0][1], "Training"), *ROWS[1:]]
    write(path, official(changed))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    check(quiet(path)[0], changed)
    # and a copy elsewhere is the same file
    table, said = quiet(write(tmp_path / "copy.csv", official()))
    assert "from the cache" in said[0]
    check(table)


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["table.json", "Training.faces"])
@pytest.mark.parametrize("damage", [damage_flip, damage_cut, damage_empty])
def test_damaged_cache_is_rebuilt_and_said(tmp_path, cache_home, name, damage):
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    damage(cache_files(cache_home)[name])
    table, said = quiet(path)
    check(table)
    assert "its cache is damaged" in said[0]
    assert name in said[0]
    table, said = quiet(path)
    check(table)
    assert len(said) == 1
    assert "from the cache" in said[0]


def test_lost_split_is_rebuilt_when_it_is_asked_for(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    cache_files(cache_home)["PublicTest.faces"].unlink()
    assert "from the cache" in quiet(path, ("Training",))[1][0]
    table, said = quiet(path, ("PublicTest",))
    check(table, splits=("PublicTest",))
    assert "its cache is damaged" in said[0]


def test_writing_into_the_arrays_leaves_the_cache_alone(tmp_path):
    path = write(tmp_path / "faces.csv", official())
    for _ in ("parsed", "cached"):
        faces = quiet(path)[0].splits["Training"]
        faces.images[:] = 1
        faces.labels[:] = 1
        check(quiet(path)[0])


def test_cache_never_hides_bad_rows(tmp_path):
    path = write(tmp_path / "faces.csv", official([*ROWS, ("7", PX, "Training")] * 7))
    refused = error_of(path)
    table, said = quiet(path, skip_bad_rows=True)
    check(table, ROWS * 7)
    assert table.skipped == 7
    assert "from the cache" in said[0]
    assert said[1].startswith("faces.csv: 7 bad rows dropped")
    assert error_of(path) == refused == error_of(path, cache=False)
    assert "7 bad rows" in refused


def test_cache_off_neither_reads_nor_writes(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official())
    check(quiet(path, cache=False)[0])
    assert not cache_home.exists()
    quiet(path)
    _, said = quiet(path, cache=False)
    assert "read in" in said[0]


def test_unwritable_cache_is_a_line_not_an_error(tmp_path, cache_home):
    cache_home.write_text("a file where the folder should be")
    table, said = quiet(write(tmp_path / "faces.csv", official()))
    check(table)
    assert len(said) == 2
    assert "not cached" in said[0]


def test_relative_cache_home_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    quiet(write(tmp_path / "faces.csv", official()))
    assert not (tmp_path / "here").exists()
    assert (tmp_path / "home" / ".cache" / "ferspore").is_dir()


def test_processes_that_build_the_same_cache_at_once(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official(ROWS * 30))
    code = f"from ferspore.data.csv import load_csv; load_csv({str(path)!r}, ['Training'])"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    table, said = quiet(path)
    check(table, ROWS * 30)
    assert "from the cache" in said[0]
    assert len(cache_files(cache_home)) == 4


def test_faces_have_a_length():
    assert len(Faces(np.zeros((2, 48, 48), np.uint8), np.zeros(2, np.uint8))) == 2
