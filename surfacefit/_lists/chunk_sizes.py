"""How much work compiled code takes at once: little enough to stay in a CPU's cache, enough to fill a GPU."""

from __future__ import annotations

import numpy as np

from .pairs import ChunkShape

# Tiles and components a chunk on a CPU: 32 tiles of 256 points and 8 components keep its work within a core's cache.
# A product over 8 members fits the vector units, and a list whose length is no multiple leaves at most seven places
# empty.
CPU_CHUNK = ChunkShape(32, 8)
# The same on an accelerator, where each chunk costs some ten launches of 5 us, whatever its size. On an H100 the sum of
# 1,024 components at 138,632 points took 0.29 ms so, 1.22 ms with 8 components at 128 tiles.
GPU_CHUNK = ChunkShape(2048, 32)
# Rows of neighbours whose overlaps are summed at once on a CPU, as above.
CPU_ROWS = 64
# The same on an accelerator, at least and at most: J^T J of 10,000 components took 4.8 ms on an H100 with the most,
# 29.8 with 64. Rows of each rule are filled up to a multiple of so many.
GPU_ROWS = (1024, 8192)
# Parts of the room for rows, of which products leave out those without a row, on a CPU. Of 65,536 rows with 29,000 in
# use a product took 6 to 9 ms in 8 parts, 21 to 26 whole; 4 and 16 parts were as fast. A GPU would wait for the host.
CPU_ROW_SEGMENTS = 8
# Rows from which a product reads all of the room for them: parts are copied once a solve, here 300 MB and more.
WHOLE_ROWS_FROM = 2**18
# Chunks that rows are to fill at least, before more are taken at once.
LEAST_ROW_CHUNKS = 8


def chunk_shape(n_tiles: int, cpu: bool) -> ChunkShape:
    """Tiles and components at once, for so many tiles. On a CPU at least about four chunks, where there are four tiles,
    so that few places of the last chunk are empty.
    """
    if not cpu:
        return ChunkShape(min(GPU_CHUNK.tiles, n_tiles), GPU_CHUNK.members)
    return ChunkShape(int(min(CPU_CHUNK.tiles, max(1, 2 ** int(np.log2(max(1, n_tiles / 4)))))), CPU_CHUNK.members)


def row_segments(cpu: bool, n_rows: int) -> int:
    """Parts of the room for so many rows, of which a product leaves out those not in use."""
    return CPU_ROW_SEGMENTS if cpu and n_rows < WHOLE_ROWS_FROM else 1


def rows_at_once(n_rows: int, cpu: bool) -> int:
    """Rows of neighbours at once, of so many in all: a power of two."""
    if cpu:
        return CPU_ROWS
    least, most = GPU_ROWS
    return int(min(most, max(least, 2 ** int(np.log2(max(1, n_rows / LEAST_ROW_CHUNKS))))))
