"""Giving memory back to the system that large answers have used.

glibc's allocator keeps what is free between blocks that are still in use, and after the first block
of 20 MB it also keeps blocks of that size.  A worker that had listed 100,000 services once would be
that much larger for the rest of its life.
"""

import ctypes
import mmap
import os

#: Bytes by which a process may grow or shrink before it gives back what is free.
CHANGE = 2 * 2**20
#: Blocks of at least so many bytes are given back as soon as they are free.
LARGE_BLOCK = 2**17
_M_MMAP_THRESHOLD = -3  # of glibc's mallopt()


class Memory:
    """The memory of this process; on systems without glibc it is left to them."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._is_glibc = hasattr(self._libc, "malloc_trim")
        if self._is_glibc:
            self._libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
            # Opened once: there may be no descriptor left when there is much to do.
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            self._resident = self.resident()

    def resident(self) -> int:
        """How many bytes of memory the process uses."""
        return int(os.pread(self._statm, 200, 0).split()[1]) * mmap.PAGESIZE

    def give_back(self) -> None:
        """Give back what is free, if the use has changed since; to be called now and then.

        If it has become less, too: what was in use the last time may be free now.
        """
        if self._is_glibc and abs(self.resident() - self._resident) > CHANGE:
            self._libc.malloc_trim(0)
            self._resident = self.resident()
