"""The rows that have an outcome: 64 bits of their id, and where their line is."""

from array import array
from typing import Final

_FIRST_SLOTS: Final = 1 << 10


class RowTable:
    """A hash table of rows in arrays: 33 to 57 bytes a row, where a dict takes 200.

    Rows are told apart by 64 bits, so two of ten million are mixed up once in some 370,000 journals. A reader
    of the line sees the id, and can tell.
    """

    def __init__(self) -> None:
        self._ids = array("Q")
        self._offsets = array("Q")
        self._digests = array("Q")
        self._flags = bytearray()  # 1: done; 2: the content's digest is known
        self._slots = array("I", bytes(4 * _FIRST_SLOTS))
        self._mask = _FIRST_SLOTS - 1

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, own: int, offset: int, digest: int | None, *, is_done: bool) -> None:
        """Note the outcome of a row, in the place of an earlier one."""
        flags = is_done | (0 if digest is None else 2)
        slots, mask, ids = self._slots, self._mask, self._ids
        at = own & mask
        while index := slots[at]:
            if ids[index - 1] == own:
                self._offsets[index - 1] = offset
                self._digests[index - 1] = digest or 0
                self._flags[index - 1] = flags
                return
            at = (at + 1) & mask
        ids.append(own)
        self._offsets.append(offset)
        self._digests.append(digest or 0)
        self._flags.append(flags)
        slots[at] = len(ids)
        if 2 * len(ids) > mask:
            self._grow()

    def _grow(self) -> None:
        size = 4 * (self._mask + 1)
        slots, mask = array("I", bytes(4 * size)), size - 1
        for index, own in enumerate(self._ids, 1):
            at = own & mask
            while slots[at]:
                at = (at + 1) & mask
            slots[at] = index
        self._slots, self._mask = slots, mask

    def _find(self, own: int) -> int:
        slots, mask, ids = self._slots, self._mask, self._ids
        at = own & mask
        while index := slots[at]:
            if ids[index - 1] == own:
                return index - 1
            at = (at + 1) & mask
        return -1

    def is_done(self, own: int) -> bool:
        """Whether the row has an outcome, and did not fail."""
        at = self._find(own)
        return at >= 0 and bool(self._flags[at] & 1)

    def offset(self, own: int) -> int | None:
        """Where the row's outcome is."""
        at = self._find(own)
        return None if at < 0 else self._offsets[at]

    def digest(self, own: int) -> int | None:
        """The digest of the row's content, if it has an outcome that tells."""
        at = self._find(own)
        return self._digests[at] if at >= 0 and self._flags[at] & 2 else None

    @property
    def done(self) -> int:
        """How many rows are done."""
        return sum(flag & 1 for flag in self._flags)
