"""Memory for batches, used again and again: fresh pages cost more than reading and checking what goes into them."""

import math
import weakref

import numpy as np

HUGE_PAGE = 2**21


class BufferPool:
    """Arrays whose memory comes back when nobody holds them or a view or tensor of them any more.

    Keeps at most `limit` bytes in use and in waiting together, unless more than that is in use.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._waiting: list[np.ndarray] = []
        self._total = 0

    def array(self, capacity: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of `shape` with any content, in memory for `capacity` entries along its first axis."""
        size = capacity * math.prod(shape[1:]) * dtype.itemsize
        memory = self._reuse(size)
        if memory is None:
            if self._total + size > self._limit:
                self._total -= sum(map(len, self._waiting))
                self._waiting.clear()
            memory = _huge(size) if size >= 2 * HUGE_PAGE else np.empty(size, np.uint8)
            self._total += size
        # Every view refers to this first array (the memoryview `data` keeps numpy from referring to `memory` instead),
        # so that it dies with the last of them.
        flat = np.frombuffer(memory.data, dtype, math.prod(shape))
        weakref.finalize(flat, self._waiting.append, memory).atexit = False
        return flat.reshape(shape)

    def _reuse(self, size: int) -> np.ndarray | None:
        for place, memory in enumerate(self._waiting):
            if len(memory) == size:
                return self._waiting.pop(place)
        return None


def _huge(size: int) -> np.ndarray:
    """Aligned memory: where the system has huge pages, numpy's request for them then covers all of it."""
    memory = np.empty(size + HUGE_PAGE, np.uint8)
    start = -memory.ctypes.data % HUGE_PAGE
    return memory[start : start + size]
