"""The small message reader and writer, and the checksum, against known vectors and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.disk.formats.crc32c import crc32c, masked
from swath.disk.formats.protobuf import ProtoError, decode, encode, last_int, read_varint, signed, varint

FIELDS = st.lists(st.tuples(st.integers(1, (1 << 29) - 1), st.integers(0, (1 << 64) - 1) | st.binary(max_size=300)))


@pytest.mark.parametrize(("fields", "told"), [
    ([(1, 150)], "089601"), ([(2, b"testing")], "120774657374696e67"), ([(3, b"\x08\x96\x01")], "1a03089601"), ([], ""),
    ([(1, -1)], "08ffffffffffffffffff01"),
])  # fmt: skip
def test_known_messages(fields, told) -> None:  # type: ignore[no-untyped-def]
    assert encode(fields).hex() == told


@given(FIELDS)
def test_messages_come_back(fields) -> None:  # type: ignore[no-untyped-def]
    found = decode(encode(fields))
    for number in {n for n, _ in fields}:
        assert found[number] == [v for n, v in fields if n == number]


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_signed_numbers_come_back(number: int) -> None:
    data = varint(number)
    value, at = read_varint(data, 0)
    assert (signed(value), at) == (number, len(data))
    assert last_int(decode(encode([(5, number)])), 5) == number


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        found = decode(data)
    except ProtoError:
        return
    assert sum(len(v) for v in found.values()) <= len(data)


@given(FIELDS.filter(bool))
def test_a_cut_message_loses_its_last_field_or_is_refused(fields) -> None:  # type: ignore[no-untyped-def]
    data = encode(fields)
    try:
        found = decode(data[:-1])
    except ProtoError:
        return
    assert sum(len(v) for v in found.values()) < len(fields)


def test_fixed_fields_are_passed_over() -> None:
    assert decode(b"\x09" + b"12345678" + b"\x15" + b"1234") == {1: [b"12345678"], 2: [b"1234"]}


@pytest.mark.parametrize("data", [b"\x0b", b"\x00\x01", b"\x08" + b"\xff" * 11, b"\x12\xff\xff\xff\xff\x0f", b"\x80"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtoError):
        decode(data)


@pytest.mark.parametrize(("data", "crc"), [
    (b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E), (bytes(range(31, -1, -1)), 0x113FDB5C),
])  # fmt: skip
def test_known_checksums(data: bytes, crc: int) -> None:
    """The vectors of RFC 3720, B.4."""
    assert crc32c(data) == crc


@settings(max_examples=8)
@given(st.integers(8100, 40_000), st.integers(0, 99))
def test_checksums_of_lanes_equal_those_byte_by_byte(size: int, seed: int) -> None:
    data = np.random.default_rng(seed).bytes(size)
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_the_mask_of_a_checksum() -> None:
    assert masked(0) == 0xA282EAD8
    assert masked(0xFFFFFFFF) == 0xA282EAD7
