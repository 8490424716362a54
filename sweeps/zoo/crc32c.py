"""CRC-32C (Castagnoli) of many megabytes in numpy: what seals TensorFlow's checkpoints and LevelDB's tables."""

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # reflected
_LANES = 8192  # side by side at most: as many registers as stay in a core's first cache
_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """The checksum of some bytes, 0 <= value < 2**32.

    The register is linear in the data, and zeros before them change nothing: the data are cut into equal lanes that are
    run side by side, two bytes a step, and neighbours are joined by shifting the left one past the right one.
    """
    given = np.frombuffer(data, dtype=np.uint8)
    lanes = min(_LANES, 1 << (len(given) // 256).bit_length())
    length = -(-len(given) // (2 * lanes)) * 2
    padded = np.zeros(lanes * length, dtype=np.uint8)
    padded[len(padded) - len(given) :] = given
    states, table = np.zeros(lanes, dtype=np.uint32), _table(16)
    for column in np.ascontiguousarray(padded.view("<u2").reshape(lanes, length // 2).T):
        states = table.take((states & 0xFFFF) ^ column) ^ (states >> 16)
    while len(states) > 1:
        states = _shift(states[::2], length) ^ states[1::2]
        length *= 2
    start = _shift(np.array([0xFFFFFFFF], dtype=np.uint32), len(given))
    return int(start[0] ^ states[0]) ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """How a checksum is stored beside what it checks: rotated and offset, so that no checksum is taken of itself."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


@cache
def _table(bits: int) -> np.ndarray:
    """What ``bits`` zero bits make of a register whose low ``bits`` bits are the index."""
    states = np.arange(1 << bits, dtype=np.uint32)
    for _ in range(bits):
        states = np.where(states & 1, (states >> 1) ^ np.uint32(_POLYNOMIAL), states >> 1).astype(np.uint32)
    return states


@cache
def _operator(power: int) -> tuple[int, ...]:
    """What 2**power zero bytes make of each of the 32 bits of the register."""
    if power == 0:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        return tuple(int(value) for value in _table(8)[bits & 0xFF] ^ (bits >> 8))
    half = np.array(_operator(power - 1), dtype=np.uint32)
    return tuple(int(value) for value in _applied(power - 1, half))


def _applied(power: int, states: np.ndarray) -> np.ndarray:
    found = np.zeros_like(states)
    for bit, image in enumerate(_operator(power)):
        found ^= np.where((states >> np.uint32(bit)) & 1, np.uint32(image), np.uint32(0))
    return found


def _shift(states: np.ndarray, count: int) -> np.ndarray:
    """The registers after ``count`` more zero bytes."""
    for power in range(count.bit_length()):
        if count >> power & 1:
            states = _applied(power, states)
    return states
