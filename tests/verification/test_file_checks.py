"""Damaged files and sidecars: each kind of damage has its finding, and none ends in a traceback."""

import itertools
import json
import shutil

import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint

from ferspore.run.ckpt import parse_ckpt
from ferspore.run.sidecar import unseal
from ferspore.verification.file_checks import check_sidecar
from ferspore.verification.text import format_report
from tests.verification.cases import boundaries, failed, findings, names, seal_again


def test_empty_file(best, verifier):
    best.write_bytes(b"")
    report = verifier.verify(best)
    assert names(report) == ["file"] and "empty" in failed(report)["file"]


@pytest.mark.parametrize(
    "content", [b"a text file\n", b"\ntext", b"\x0a", b"\x0a\xff", b"PK\x03\x04"]
)
def test_file_that_is_no_checkpoint(bare, verifier, content):
    bare.write_bytes(content)
    report = verifier.verify(bare)
    assert names(report) == ["file", "sidecar", "format"]
    assert repr(content[:8])[2:-1] in failed(report)["format"]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.5, 0.77, 0.97])
@pytest.mark.parametrize("sealed", [True, False], ids=["sidecar", "no sidecar"])
def test_cut_in_the_middle_of_a_message(best, verifier, share, sealed):
    content = best.read_bytes()
    size = int(len(content) * share)
    assert size not in boundaries(content)
    best.write_bytes(content[:size])
    if not sealed:
        best.with_suffix(".json").unlink()
    report = verifier.verify(best)
    assert "format" in failed(report) and "predictions" not in names(report)
    if sealed:
        assert "cut short" in failed(report)["sidecar"]
    if sealed and share > 0.01:
        whole = [end for end in boundaries(content) if end <= size]
        left = parse_ckpt(content[: whole[-1]]).tensors
        due = parse_ckpt(content).tensors
        parameters = sum(value.size for value in due.values())
        first = next(name for name in due if name not in left)
        assert f"byte {whole[-1]:,} of {size:,}" in failed(report)["format"]
        assert f"{len(due) - len(left)} of {len(due)} tensors" in failed(report)["network"]
        assert first in failed(report)["network"]
        assert ("too small" in failed(report).get("size", "")) == (size < 4 * parameters)


def test_cut_at_every_message_boundary(best, verifier):
    """MindSpore's own loader takes such files."""
    content = best.read_bytes()
    ends = boundaries(content)
    due = len(parse_ckpt(content).tensors)
    for end in ends[:-1]:
        best.write_bytes(content[:end])
        report = verifier.verify(best)
        assert "cut short" in failed(report)["sidecar"], end
        left = len(parse_ckpt(content[:end]).tensors)
        if 0 < left < due:
            assert f"of {left} tensor" in findings(report, "PASS")["format"]
            if "stem.0.weight" in parse_ckpt(content[:end]).tensors:
                assert f"{due - left} of {due} tensors" in failed(report)["network"], end


def test_cut_at_a_boundary_without_sidecar_names_what_is_missing(bare, verifier):
    content = bare.read_bytes()
    ends = boundaries(content)
    tags = [value.tag for value in Checkpoint.FromString(content).value]
    bare.write_bytes(content[: ends[tags.index("head.weight") - 1]])
    report = verifier.verify(bare)
    assert "at least 2 tensors missing: head.weight, head.bias" in failed(report)["network"]
    assert "predictions" not in names(report)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_a_flipped_bit(best, verifier, share):
    content = bytearray(best.read_bytes())
    content[int(len(content) * share)] ^= 1
    best.write_bytes(content)
    assert "sha256" in failed(verifier.verify(best))["sidecar"]


def test_no_flipped_byte_or_cut_ends_in_a_traceback(bare, verifier):
    content = bare.read_bytes()
    rng = np.random.default_rng(5)
    headers = [end + offset for end in boundaries(content)[:-1] for offset in range(0, 24, 5)]
    for place in headers:
        damaged = bytearray(content)
        damaged[place] = rng.integers(256)
        bare.write_bytes(damaged)
        assert format_report(verifier.verify(bare))


def test_sidecar_of_another_file(run, best, verifier):
    shutil.copy(run / "final_model.json", best.with_suffix(".json"))
    assert "'final_model.ckpt'" in failed(verifier.verify(best))["sidecar"]


def test_damaged_sidecar(best, verifier):
    sidecar = best.with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace('"seed": 1', '"seed": 2'))
    assert "changed after it was written" in failed(verifier.verify(best))["sidecar"]


def test_sidecar_of_a_newer_format(best, verifier):
    seal_again(best, format=3, face_size={"width": 48, "height": 64})
    text = failed(verifier.verify(best))["sidecar"]
    assert "its sidecar has format 3, this ferspore" in text and "a newer one wrote it" in text


def test_a_tensors_name_that_is_no_text(bare, verifier):
    content = bare.read_bytes()
    bare.write_bytes(content.replace(b"head.weight", b"he\xe1d.weight"))
    report = verifier.verify(bare)
    assert report.verdict == "NOT sound: format"
    assert "a tensor's name or type is no text" in failed(report)["format"]
    assert len(format_report(report).splitlines()) == len(report.findings) + 2


NESTED = {}
for _ in range(300):
    NESTED = {"model": NESTED}
HOSTILE = [None, [], {}, [{}], True, -1, 10**400, 1e308, "\x1b[31m\n", "\ud800", NESTED, [[NESTED]]]


def test_no_forged_sidecar_ends_in_a_traceback(best, judge):
    path, content = best.with_suffix(".json"), best.read_bytes()
    sealed = path.read_bytes()
    values = unseal(sealed)
    forged = [{key: value} for key, value in itertools.product(values, HOSTILE)]
    forged += [{"\x1b[31m": 1}, {"kind": "snapshot"}, {"config": {"model": NESTED}}]
    accepted = 0
    for changes in forged:
        path.write_bytes(sealed)
        seal_again(best, **changes)
        sidecar, finding = check_sidecar(best, content)
        assert finding.text.isprintable(), changes
        if sidecar is not None:
            accepted += 1
            if accepted % 4:  # each takes a second
                continue
            report = judge.verify(best)
            assert len(format_report(report).splitlines()) == len(report.findings) + 2, changes
            assert json.dumps(report.to_dict(), allow_nan=False)
    assert 20 < accepted < len(forged) / 2


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'"x"', b"[" * 100_000, b"NaN", b"\xff"])
def test_sidecar_that_is_no_sidecar(best, verifier, text):
    best.with_suffix(".json").write_bytes(text)
    assert failed(verifier.verify(best)).keys() == {"sidecar"}
