"""Loading whole files: every good layout, every file that is refused."""

import gzip
import hashlib
import os
import zipfile

import numpy as np
import pytest

from ferspore.data import csv
from ferspore.data.csv import DataError, load_csv
from ferspore.data.faces import Faces
from tests.data.csv_files import (
    ALL,
    HEADER,
    PX,
    ROWS,
    check,
    draw_pixels,
    error_of,
    expected,
    official,
    quiet,
    write,
)


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
    assert "no rows" in error_of(write(tmp_path / "faces.csv", HEADER + "\n\n"))


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


def test_no_damage_to_an_archive_is_a_traceback(tmp_path):
    rng = np.random.default_rng(1)
    archives = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(tmp_path / "good.zip", "w", method) as archive:
            archive.writestr("faces.csv", official(ROWS[:2]))
        archives.append(np.frombuffer((tmp_path / "good.zip").read_bytes(), np.uint8))
    archives.append(np.frombuffer(gzip.compress(official(ROWS[:2]).encode()), np.uint8))
    refused = 0
    for number in range(400):
        content = archives[number % 4].copy()
        content[rng.integers(0, len(content), 2)] = rng.integers(0, 256, 2)
        path = write(tmp_path / f"{number}.zip", content.tobytes())
        try:
            load_csv(path, (), cache=False, report=lambda line: None)
        except DataError as error:
            assert str(error).isprintable()
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("suffix", [".csv.gz", ".zip"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(csv, "FREE_GROWTH", 1 << 16)
    text = (HEADER + "\n" + "0" * (1 << 20)).encode()
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("faces.csv", text)
    else:
        write(path, gzip.compress(text))
    size = path.stat().st_size
    assert f"{path}: {size:,} bytes that unpack to more than {1 << 16:,}" in error_of(path)


def test_too_large_a_file_or_header_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "wide.csv", "a," * 2_000_000 + "\n")
    assert error_of(path).startswith(f"{path}: line 1: received 2,000,001 columns")
    monkeypatch.setattr(csv, "MAX_BYTES", 1000)
    assert "4,000,001 bytes, expected a FER2013 file" in error_of(path)


@pytest.mark.parametrize("names", [["a.csv", "b.csv"], ["faces.txt"], []])
def test_zip_without_exactly_one_csv(tmp_path, names):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, official())
    count = sum(name.endswith(".csv") for name in names)
    assert f"expected exactly one .csv inside, found {count}" in error_of(path)


@pytest.mark.parametrize("optional", [("PrivateTest", "Training"), ("PublicTest",)])
def test_an_optional_split_need_not_be_there(tmp_path, optional):
    rows = [row for row in ROWS if row[2] != "PrivateTest"]
    path = write(tmp_path / "faces.csv", official(rows))
    there = ["PublicTest", *(split for split in optional if split == "Training")]
    for _ in range(2):  # from the file, then from the cache
        check(quiet(path, ("PublicTest",), optional=optional)[0], rows, there)
    assert "unknown split 'Test'" in error_of(path, optional=("Test",))


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


def test_faces_have_a_length():
    assert len(Faces(np.zeros((2, 48, 48), np.uint8), np.zeros(2, np.uint8))) == 2
