"""Reading and writing the messages that the proxy has to understand or to say itself."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct("!I")


def text(data: bytes) -> str:
    """Return bytes as text; what is no UTF-8 is replaced, because rules look at text and nothing is sent from here."""
    return data.decode("utf-8", "replace")


def strings(body: bytes, count: int) -> list[bytes]:
    """Return the first *count* NUL-terminated strings of a body; missing ones are empty."""
    parts = body.split(b"\0", count)
    if len(parts) > count:
        parts.pop()
    return parts if len(parts) == count else parts + [b""] * (count - len(parts))


def startup_parameters(body: bytes) -> dict[str, str]:
    """Return the parameters of a StartupMessage, whose *body* begins with the protocol version."""
    words = body[4:].split(b"\0")
    return {text(name): text(value) for name, value in zip(words[::2], words[1::2], strict=False) if name}


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their letters: C is the SQLSTATE, M the message, V the severity."""
    return {chr(part[0]): text(part[1:]) for part in body.split(b"\0") if part}


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message of a kind."""
    return kind + _LENGTH.pack(len(body) + 4) + body


def error_response(sqlstate: str, said: str, severity: str = "ERROR") -> bytes:
    """Return an ErrorResponse."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": said}
    return message(b"E", b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0")


def query(sql: str) -> bytes:
    """Return a simple Query."""
    return message(b"Q", sql.encode() + b"\0")


def extended(sql: str, name: str) -> bytes:
    """Return Close, Parse, Bind and Execute of a statement without parameters, under a *name* of our own."""
    label = name.encode() + b"\0"
    return b"".join(
        (
            message(b"C", b"S" + label),
            message(b"P", label + sql.encode() + b"\0" + b"\0\0"),
            message(b"B", label + label + b"\0\0\0\0\0\0"),
            message(b"E", label + b"\0\0\0\0"),
        )
    )


def raising(sqlstate: str, said: str, *, cockroach: bool) -> str:
    """Return SQL whose execution fails on the server with *sqlstate* and the message *said*."""
    quoted = said.replace("'", "''").replace("%", "%%")
    if cockroach:
        return f"SELECT crdb_internal.force_error('{sqlstate}', '{quoted}')"
    return f"DO $lab$BEGIN RAISE EXCEPTION '{quoted.replace('$lab$', '')}' USING ERRCODE = '{sqlstate}'; END$lab$"
