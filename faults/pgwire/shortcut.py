"""What drivers send and hear most: a prepared statement is run, in one write, and answered in one read.

Looked at as a whole this costs a third of what its messages cost one by one. Anything else, or any other split of the
bytes, is None here and goes the long way, which leads to the same.
"""

from __future__ import annotations

import struct
from typing import Final

_length_at: Final = struct.Struct("!I").unpack_from
_SHORTEST_BIND: Final = 1 + 4 + 2 + 6
_BIND: Final = b"B"[0]
_DONE: Final = b"C"[0]
_IN_ANSWER: Final = b"DC"
_BIND_COMPLETE: Final = b"2\0\0\0\4"
_EXECUTE_AND_SYNC: Final = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"
_READY: Final = b"Z\0\0\0\5"


def name_to_run(data: bytes) -> bytes | None:
    """Return the name of a prepared statement, if *data* is just its Bind, Execute (unnamed portal, all rows), Sync."""
    end = len(data) - len(_EXECUTE_AND_SYNC)
    if end < _SHORTEST_BIND or data[0] != _BIND or data[5] or _length_at(data, 1)[0] != end - 1:
        return None
    name_ends = data.find(b"\0", 6, end)
    return data[6:name_ends] if name_ends > 0 and data.endswith(_EXECUTE_AND_SYNC) else None


def is_answer(data: bytes) -> bool:
    """Whether *data* is just BindComplete, any number of rows, CommandComplete, ReadyForQuery."""
    end = len(data) - 6  # where ReadyForQuery has to begin
    if not data.startswith(_BIND_COMPLETE) or data[end:-1] != _READY:
        return False
    position = 5
    while position < end:
        kind = data[position]
        length: int = _length_at(data, position + 1)[0]
        if length < 4 or kind not in _IN_ANSWER:
            return False
        position += 1 + length
        if kind == _DONE:
            return position == end
    return False
