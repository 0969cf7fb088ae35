"""Protocol-buffer messages as field numbers and values, without a compiler: varints and length-delimited fields.

Encoding as documented at https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable

Value = int | bytes
Fields = dict[int, list[Value]]
_FIXED = {1: 8, 5: 4}


class ProtoError(ValueError):
    """Bytes that are no message."""


def varint(number: int) -> bytes:
    """The base-128 form of an integer from -2**63 to 2**64 - 1; negative ones as two's complement of 64 bits."""
    if not -(1 << 63) <= number < 1 << 64:
        raise ProtoError(f"{number} does not fit into 64 bits")
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """(number, position after it) of the varint at `at`. Raises ProtoError where it is cut or too long."""
    number = 0
    for n in range(10):
        if at + n >= len(data):
            raise ProtoError("a number is cut")
        byte = data[at + n]
        number |= (byte & 127) << 7 * n
        if byte < 128:
            if number >> 64:
                raise ProtoError("a number has more than 64 bits")
            return number, at + n + 1
    raise ProtoError("a number is longer than 10 bytes")


def signed(number: int) -> int:
    """The int32 or int64 that a varint stands for."""
    return number - (1 << 64) if number >> 63 else number


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """The message of (field number, value) pairs: integers as varints, bytes length-delimited."""
    out = []
    for number, value in fields:
        if isinstance(value, int):
            out += [varint(number << 3), varint(value)]
        else:
            out += [varint(number << 3 | 2), varint(len(value)), value]
    return b"".join(out)


def decode(data: bytes | memoryview) -> Fields:
    """Field number -> its values in order: integers (unsigned), or bytes. Raises ProtoError on anything malformed."""
    data, at = memoryview(data), 0
    fields: Fields = {}
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise ProtoError(f"field number {number}")
        value: Value
        if wire == 0:
            value, at = read_varint(data, at)
        else:
            if wire == 2:
                length, at = read_varint(data, at)
            elif wire in _FIXED:
                length = _FIXED[wire]
            else:
                raise ProtoError(f"wire type {wire}")
            if at + length > len(data):
                raise ProtoError("a field is cut")
            value, at = bytes(data[at : at + length]), at + length
        fields.setdefault(number, []).append(value)
    return fields


def last_int(fields: Fields, number: int, default: int = 0) -> int:
    """The integer of a field that stands once (the last one counts). Raises ProtoError where it is none."""
    value = fields.get(number, [default])[-1]
    if not isinstance(value, int):
        raise ProtoError(f"field {number} is no integer")
    return signed(value)


def last_bytes(fields: Fields, number: int, default: bytes = b"") -> bytes:
    """The bytes of a field that stands once (the last one counts). Raises ProtoError where it is none."""
    value = fields.get(number, [default])[-1]
    if not isinstance(value, bytes):
        raise ProtoError(f"field {number} is no text")
    return value
