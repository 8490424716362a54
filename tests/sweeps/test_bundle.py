"""TensorFlow's checkpoints are read as they were written, or refused in one line: damage is never passed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.errors import ModelError
from sweeps.zoo.bundle import variables
from sweeps.zoo.crc32c import crc32c, masked
from tests.doubles import tensorbundle as slow
from tests.doubles.tensorbundle import write

RNG = np.random.default_rng(0)
ARRAYS = {
    "net/conv/weights": RNG.standard_normal((3, 3, 4, 8)).astype("float32"),
    "net/conv/BatchNorm/gamma": RNG.standard_normal(8).astype("float32"),
    "net/conv/BatchNorm/beta": RNG.standard_normal(8).astype("float32"),
    "net/half": RNG.standard_normal(5).astype("float16"),
    "global_step": np.array(2**40, dtype="int64"),
    "empty": np.zeros((0, 3), dtype="float64"),
    **{f"many/{index:03d}/kernel": np.full((2, 1), index, dtype="float32") for index in range(40)},
}


@pytest.mark.parametrize(("text", "value"), [  # RFC 3720, appendix B.4; the first is the usual check value
    (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E), (bytes(reversed(range(32))), 0x113FDB5C), (b"", 0),
])  # fmt: skip
def test_published_checksums(text, value):
    assert crc32c(text) == value


@settings(deadline=None)
@given(st.integers(0, 20_000), st.integers(0, 2**32 - 1))
def test_a_checksum_of_any_length_is_the_slow_one(length, seed):
    data = np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()
    state = 0xFFFFFFFF
    for byte in data:
        state = slow.TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    assert crc32c(data) == state ^ 0xFFFFFFFF


def test_a_checksum_is_stored_rotated_and_offset():
    assert masked(crc32c(b"123456789")) == slow.sealed(b"123456789")
    assert masked(0) == 0xA282EAD8


@pytest.mark.parametrize("graph", [False, True], ids=["tf1", "tf2"])
@pytest.mark.parametrize("shards", [1, 3])
def test_variables_come_back_under_their_names(tmp_path, graph, shards):
    write(tmp_path / "variables" / "variables", ARRAYS, graph=graph, shards=shards)
    found = variables(tmp_path / "variables" / "variables")
    assert list(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_every_flipped_byte_of_the_tensors_is_seen(tmp_path):
    write(tmp_path / "v", {"a": np.arange(6, dtype="float32"), "b": np.arange(3, dtype="int32")}, graph=True)
    path = tmp_path / "v.data-00000-of-00001"
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ModelError, match="checksum"):
            variables(tmp_path / "v")


def _read(prefix):
    try:
        return {name: array.tolist() for name, array in variables(prefix).items()}
    except ModelError as error:
        return str(error)


def test_a_damaged_index_is_refused_in_one_line_or_says_what_it_said(tmp_path):
    write(tmp_path / "v", {"a/b": np.arange(6, dtype="float32"), "a/c": np.arange(3, dtype="int32")})
    path = tmp_path / "v.index"
    good, right = path.read_bytes(), _read(tmp_path / "v")
    assert right == {"a/b": [0, 1, 2, 3, 4, 5], "a/c": [0, 1, 2]}
    flipped = [good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :] for at in range(len(good))]
    for bad in [*flipped, *(good[:at] for at in range(len(good)))]:
        path.write_bytes(bad)
        found = _read(tmp_path / "v")
        assert found == right or (isinstance(found, str) and "\n" not in found)


def test_missing_and_short_files(tmp_path):
    with pytest.raises(ModelError, match="readable TensorFlow checkpoint"):
        variables(tmp_path / "none")
    write(tmp_path / "v", {"a": np.arange(6, dtype="float32")})
    path = tmp_path / "v.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="cut short"):
        variables(tmp_path / "v")
    path.unlink()
    with pytest.raises(ModelError, match="No such file"):
        variables(tmp_path / "v")
    (tmp_path / "v.index").write_text("hello")
    with pytest.raises(ModelError, match="no LevelDB table"):
        variables(tmp_path / "v")
