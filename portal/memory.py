"""Giving memory back to the system that large answers have used.

glibc's allocator keeps what is free between blocks that are still in use, and after the first block
of 20 MB it also keeps blocks of that size.  A worker that had listed 100,000 services once would be
that much larger for the rest of its life.
"""

import ctypes
import mmap
import os

#: Bytes by which a process may grow before it gives back what is free of them.
GROWTH = 8 * 2**20
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
            self._least = self.resident()

    def resident(self) -> int:
        """How many bytes of memory the process uses."""
        return int(os.pread(self._statm, 200, 0).split()[1]) * mmap.PAGESIZE

    def give_back(self) -> None:
        """Give back what is free, if the process has grown since; to be called now and then."""
        if not self._is_glibc:
            return
        resident = self.resident()
        if resident > self._least + GROWTH:
            self._libc.malloc_trim(0)
            self._least = self.resident()
        else:
            self._least = min(self._least, resident)
