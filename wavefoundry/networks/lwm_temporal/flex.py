"""Attention in a corridor without routing by torch's FlexAttention, one fused kernel on CUDA."""

from functools import lru_cache

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad

from wavefoundry.networks.lwm_temporal.corridor import Windows

# Tokens per block of FlexAttention, and the smallest head width of its CUDA kernels; they take powers of two.
FLEX_BLOCK = 128
FLEX_WIDTH = 16


def flex(query, key, value, grid, windows):
    """Scaled queries, keys and values (batch, head, token, width); the values that come back are padded in width."""
    front = query.shape[2] - grid[0] * grid[1] * grid[2]
    blocks = flex_blocks(grid, windows, front, query.device)
    width = query.shape[-1]
    missing = max(FLEX_WIDTH, 2 ** (width - 1).bit_length()) - width
    attention = _compiled_flex() if query.is_cuda else flex_attention
    query, key, value = (pad(part, (0, missing)).contiguous() for part in (query, key, value))
    return attention(query, key, value, block_mask=blocks, scale=1.0)


@lru_cache(maxsize=1)
def _compiled_flex():
    return torch.compile(flex_attention)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def flex_blocks(grid: tuple[int, int, int], windows: Windows, front: int, device: torch.device) -> BlockMask:
    """Which blocks of keys each block of queries reads; found for one block of queries at a time."""
    count = front + grid[0] * grid[1] * grid[2]
    blocks = -(-count // FLEX_BLOCK)

    def seen(batch, head, query, key):
        return windows.sees(query - front, key - front, grid) | (query < front) | (key < front)

    keys = torch.arange(count, device=device)
    read = torch.zeros(blocks, blocks, dtype=torch.bool, device=device)
    for block, queries in enumerate(keys.split(FLEX_BLOCK)):
        any_query = seen(None, None, queries[:, None], keys).any(dim=0)
        read[block] = pad(any_query, (0, blocks * FLEX_BLOCK - count)).view(blocks, FLEX_BLOCK).any(dim=1)
    order = read.int().argsort(dim=1, descending=True, stable=True).int()
    return BlockMask.from_kv_blocks(
        read.sum(dim=1, dtype=torch.int32)[None, None],
        order[None, None],
        BLOCK_SIZE=FLEX_BLOCK,
        mask_mod=seen,
        seq_lengths=(count, count),
    )
