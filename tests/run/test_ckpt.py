"""MindSpore's checkpoint files without MindSpore: the same bytes and values both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ferspore.run.ckpt import (
    DTYPES,
    UnsoundError,
    not_finite,
    parse_ckpt,
    read_ckpt,
    refuse_not_finite,
    serialize,
    write_ckpt,
)

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "global_step": np.int32([7]),
    "half": np.float16([1.5, -2]),
    "flags": np.array([True, False]),
}
INFO = {"best_accuracy": 1 / 3, "best_epoch": 7, "face_size": 24}


def same(mine, theirs):
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        assert (mine[name].dtype, mine[name].shape) == (value.dtype, value.shape), name
        assert mine[name].tobytes() == value.tobytes(), name


def test_mindspore_reads_ours_and_we_read_mindspores(tmp_path):
    import mindspore

    ours, theirs = tmp_path / "ours.ckpt", tmp_path / "theirs.ckpt"
    ours.write_bytes(serialize(TENSORS, {}))
    loaded = mindspore.load_checkpoint(str(ours))
    same({name: value.asnumpy() for name, value in loaded.items()}, TENSORS)
    mindspore.save_checkpoint(
        [{"name": name, "data": mindspore.Tensor(value)} for name, value in TENSORS.items()],
        str(theirs),
    )
    assert theirs.read_bytes() == ours.read_bytes()
    same(read_ckpt(theirs).tensors, TENSORS)
    mindspore.save_checkpoint(
        [{"name": "w", "data": mindspore.Tensor(np.ones(2, np.float32))}],
        str(theirs),
        append_dict={"epoch_num": 3, "best_accuracy": 0.5, "name": "text"},
        crc_check=True,
    )
    contents = read_ckpt(theirs)
    same(contents.tensors, {"w": np.ones(2, np.float32)})
    assert contents.info == {"epoch_num": 3, "best_accuracy": 0.5}


def test_mindspore_reads_what_stands_beside_the_tensors(tmp_path):
    import mindspore

    path = tmp_path / "model.ckpt"
    write_ckpt(path, {"w": np.ones(2, np.float32)}, INFO).rename(path)
    loaded = mindspore.load_checkpoint(str(path))
    assert {tag: loaded[tag].asnumpy().item() for tag in INFO} == INFO


@given(
    st.dictionaries(
        st.text("abc.", min_size=1),
        st.sampled_from(sorted(DTYPES)).flatmap(
            lambda kind: arrays.arrays(DTYPES[kind], arrays.array_shapes(min_dims=0, max_side=3))
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read(tensors):
    contents = parse_ckpt(serialize(tensors, INFO))
    same(contents.tensors, tensors)
    assert contents.info == INFO


@given(at=st.integers(0, 300), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_unsound_or_parsed_and_no_other_error(at, bit, cut):
    content = bytearray(serialize(TENSORS, INFO))
    at %= len(content)
    content[at] ^= 1 << bit
    try:
        parse_ckpt(bytes(content[:at] if cut else content))
    except UnsoundError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"hello there", "not a MindSpore checkpoint"),
        (serialize({}, {}) or b"\x12\x00", "no tensor|no MindSpore"),
        (serialize(TENSORS, {})[:-1], "cut short"),
        (serialize({"w": np.ones(2)}, {}) + serialize({"w": np.ones(3)}, {}), "occurs in it twice"),
        (serialize({"w": np.ones(2)}, {}).replace(b"Float64", b"Float16"), "16 bytes where"),
        (serialize({"w": np.ones(2)}, {}).replace(b"Float64", b"BFloat1"), "type 'BFloat1'"),
        (serialize({"w": np.ones(2)}, {}).replace(b"w", b"\xff"), "is no text"),
    ],
)
def test_what_is_refused(content, told):
    with pytest.raises(UnsoundError, match=told):
        parse_ckpt(content)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_ckpt(tmp_path / "nothing.ckpt")


def test_values_that_are_not_finite_are_named():
    tensors = {"a": np.float32([1]), "b": np.float32([np.nan]), "c": np.float64([np.inf])}
    assert not_finite(tensors) == ["b", "c"]
    refuse_not_finite({"a": tensors["a"], "counts": np.int64([1])})
    with pytest.raises(UnsoundError, match="not finite, in b, c"):
        refuse_not_finite(tensors)
