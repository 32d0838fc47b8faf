"""Published WiFo weights with random values, and what the released code makes of them, computed step by step.

Names, order and position rule are those that the released code of "WiFo: Wireless Foundation Model for Channel
Prediction", arXiv:2412.08908, is known for; nothing here uses the project's network.
"""

import torch
from torch.nn import functional as F

SIZE, HEADS, ENCODER_DEPTH, DECODER_DEPTH, PATCH = 64, 8, 2, 1, 4
POSITION_WIDTHS = (22, 22, 20)  # of 64: time, antenna, subcarrier
ARCHITECTURE = {
    "patch_size": [PATCH, PATCH, PATCH],
    "hidden_size": SIZE,
    "encoder_depth": ENCODER_DEPTH,
    "decoder_depth": DECODER_DEPTH,
    "heads": HEADS,
    "mlp_ratio": 2.0,
}


def published_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict in the released layout, its unused tables of positions included."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape, around=0.0):
        return around + 0.2 * torch.randn(*shape, generator=generator)

    def linear(name, rows, columns):
        return {f"{name}.weight": drawn(rows, columns), f"{name}.bias": drawn(rows)}

    def norm(name):
        return {f"{name}.weight": drawn(SIZE, around=1.0), f"{name}.bias": drawn(SIZE)}

    weights = {
        "pos_embed_spatial": torch.zeros(1, 64, SIZE),
        "pos_embed_temporal": torch.zeros(1, 4, SIZE),
        "decoder_pos_embed_fre": torch.zeros(1, 32, SIZE),
        "decoder_pos_embed_antenna": torch.zeros(1, 4, SIZE),
        "decoder_pos_embed_spatial": torch.zeros(1, 64, SIZE),
        "decoder_pos_embed_temporal": torch.zeros(1, 4, SIZE),
        "mask_token": drawn(1, 1, SIZE),
        "Embedding.value_embedding.tokenConv.weight": drawn(SIZE, 2, PATCH, PATCH, PATCH),
        "Embedding.value_embedding.tokenConv.bias": drawn(SIZE),
    }
    for stack, depth in (("blocks", ENCODER_DEPTH), ("decoder_blocks", DECODER_DEPTH)):
        for layer in range(depth):
            before = f"{stack}.{layer}"
            weights |= norm(f"{before}.norm1")
            for part in ("q", "k", "v", "proj"):
                weights |= linear(f"{before}.attn.{part}", SIZE, SIZE)
            weights |= norm(f"{before}.norm2")
            weights |= linear(f"{before}.mlp.fc1", 2 * SIZE, SIZE) | linear(f"{before}.mlp.fc2", SIZE, 2 * SIZE)
    weights |= norm("norm") | linear("decoder_embed", SIZE, SIZE) | norm("decoder_norm")
    return weights | linear("decoder_pred", 2 * PATCH**3, SIZE)


def recomputed(weights, csi: torch.Tensor, known: tuple[int, int], rule: str) -> torch.Tensor:
    """Whole CSI from a part of it.

    Args:
        weights: as `published_weights`.
        csi: complex (batch, time, antenna, subcarrier); only its known part is used.
        known: leading slots and subcarriers that are known, whole patches.
        rule: "own" or "published".

    Returns:
        complex, like `csi`; the known part is the network's answer too, and not compared.
    """
    batch = csi.shape[0]
    grid = tuple(size // PATCH for size in csi.shape[1:])
    seen = torch.zeros(grid, dtype=torch.bool)
    seen[: known[0] // PATCH, :, : known[1] // PATCH] = True
    kept = [tuple(place) for place in seen.nonzero().tolist()]
    tokens = F.conv3d(
        torch.stack([csi.real, csi.imag], dim=1),
        weights["Embedding.value_embedding.tokenConv.weight"],
        weights["Embedding.value_embedding.tokenConv.bias"],
        stride=PATCH,
    )
    every = [(t, n, k) for t in range(grid[0]) for n in range(grid[1]) for k in range(grid[2])]

    def looked_up(place):
        whole_time, whole_band = known[0] == csi.shape[1], known[1] == csi.shape[3]
        if rule == "own" or not (whole_time or whole_band):
            return place
        # As if the index of the time, or of the subcarrier, patch counted tokens.
        return every[place[0] if whole_band else place[2]]

    hidden = torch.stack([tokens[:, :, t, n, k] + position(looked_up((t, n, k))) for t, n, k in kept], dim=1)
    for layer in range(ENCODER_DEPTH):
        hidden = block(weights, f"blocks.{layer}", hidden)
    hidden = apply(weights, "decoder_embed", norm(weights, "norm", hidden))
    rows = {place: hidden[:, at] for at, place in enumerate(kept)}
    masked = weights["mask_token"][0].expand(batch, -1)
    hidden = torch.stack([rows.get(place, masked) + position(place) for place in every], dim=1)
    for layer in range(DECODER_DEPTH):
        hidden = block(weights, f"decoder_blocks.{layer}", hidden)
    found = apply(weights, "decoder_pred", norm(weights, "decoder_norm", hidden))
    box = torch.empty(csi.shape, dtype=csi.dtype)
    for at, (t, n, k) in enumerate(every):
        # Real and imaginary part of one entry after the other.
        values = found[:, at].reshape(batch, PATCH, PATCH, PATCH, 2)
        ends = [slice(PATCH * index, PATCH * (index + 1)) for index in (t, n, k)]
        box[:, ends[0], ends[1], ends[2]] = torch.complex(values[..., 0], values[..., 1])
    return box


def position(place: tuple[int, int, int]) -> torch.Tensor:
    """Sines, then cosines, along each axis in turn."""
    parts = []
    for index, width in zip(place, POSITION_WIDTHS, strict=True):
        angles = torch.tensor([index / 10000 ** (2 * i / width) for i in range(width // 2)])
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts)


def block(weights, name, tokens):
    normed = norm(weights, f"{name}.norm1", tokens)
    heads = [apply(weights, f"{name}.attn.{part}", normed).chunk(HEADS, dim=-1) for part in "qkv"]
    mixed = [
        (query @ key.transpose(1, 2) * (SIZE // HEADS) ** -0.5).softmax(-1) @ value
        for query, key, value in zip(*heads, strict=True)
    ]
    tokens = tokens + apply(weights, f"{name}.attn.proj", torch.cat(mixed, dim=-1))
    inner = F.gelu(apply(weights, f"{name}.mlp.fc1", norm(weights, f"{name}.norm2", tokens)))
    return tokens + apply(weights, f"{name}.mlp.fc2", inner)


def apply(weights, name, tokens):
    return tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights, name, tokens):
    return F.layer_norm(tokens, (SIZE,), weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-6)
