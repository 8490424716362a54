"""Content ids are stable, tell content apart, and refuse what has no stable form."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.fingerprint import canonical_json, file_digest, fingerprint

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_order_of_keys_does_not_matter(value):
    assert fingerprint(value) == fingerprint(dict(reversed(list(value.items()))))


def test_known_value():
    """A golden, because ids stand in file names: changing the form orphans every result ever stored."""
    assert canonical_json({"b": [1, 0.1], "a": None}) == '{"a":null,"b":[1,0.1]}'
    assert fingerprint({"b": [1, 0.1], "a": None}) == "0df6724137440d7b1d98109c731c86be"


def test_same_in_another_process_with_another_hash_seed():
    code = "from sweeps.fingerprint import fingerprint; print(fingerprint({'x': ['é', 1e-300], 'y': {'k': True}}))"
    ids = {subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PATH": ""}, check=True,
                          capture_output=True, text=True).stdout for seed in ("1", "2")}  # fmt: skip
    assert len(ids) == 1


def test_tells_types_apart():
    assert len({fingerprint(value) for value in (1, "1", [1], {"1": 1}, None, True)}) == 6


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, {1, 2}, b"bytes"])
def test_refuses_unstable(value):
    with pytest.raises(TypeError, match="fingerprinted"):
        fingerprint(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"a": -math.inf}]])
def test_refuses_not_finite(value):
    with pytest.raises(ValueError, match="finite"):
        fingerprint(value)


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    assert file_digest(tmp_path / "a.txt") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
