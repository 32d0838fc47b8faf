"""The efficiency table of the WiMamba paper: latency and peak memory at three granularities, as ratios.

python -m benchmarks.efficiency_table: about five minutes. Batch 4, channels of 240 antennas x 240 subcarriers in
patches of 8, 6 and 4 (901, 1601 and 3601 tokens), networks of the published sizes, one CPU thread:

- wimamba: ours.
- fused: the transformer (LWM) with torch's fused attention.
- naive: the same with attention that is not fused, which is what the paper compares with.

Latencies are medians, warmed up; of naive attention at 3601 tokens a single call, warmed up at the smaller sizes.
Memory is that of the weights and what one call needs at its peak beyond what was there before it. The published
figures were taken on one GPU. Where there is a GPU the table is measured there too, WiMamba's scan by the kernels of
mamba-ssm if they are installed, by plain torch otherwise.
"""

import json
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import published
from benchmarks.timing import finished, medians, seconds
from wavefoundry.evaluation.efficiency import embed, peak_memory, peak_memory_of_gpu
from wavefoundry.networks.wimamba.selective_scan import cuda_kernel
from wavefoundry.report.tables import markdown_table, significant

BATCH, ANTENNAS, SUBCARRIERS = 4, 240, 240
TOKENS = {8: 901, 6: 1601, 4: 3601}  # by patch size, in the order in which they are measured
ROUNDS = {8: 5, 6: 3, 4: 3}
NAIVE_ROUNDS = {8: 3, 6: 1}
GPU_ROUNDS = 20
# Patch size: the transformer's value over Mamba's, latency [ms] and memory [MB].
PUBLISHED = {
    8: {"latency_ms": {"naive": 29.4, "wimamba": 16.2}, "megabytes": {"naive": 356, "wimamba": 62}},
    6: {"latency_ms": {"naive": 79.2, "wimamba": 16.2}, "megabytes": {"naive": 1002, "wimamba": 75}},
    4: {"latency_ms": {"naive": 363.6, "wimamba": 23.7}, "megabytes": {"naive": 4837, "wimamba": 114}},
}


def naive(call: Callable[[], object]) -> object:
    with sdpa_kernel(SDPBackend.MATH):
        return call()


def calls(models: dict, csi: torch.Tensor, patch_size: int) -> dict[str, Callable[[], object]]:
    """One forward pass of each, complex CSI in, representations out."""
    passes = {name: partial(embed, model, csi, patch_size) for name, model in models.items()}
    return passes | {"naive": partial(naive, passes["fused"])}


def weights(models: dict) -> dict[str, int]:
    sizes = {name: sum(value.nbytes for value in model.parameters()) for name, model in models.items()}
    return sizes | {"naive": sizes["fused"]}


def over_wimamba(values: dict[str, float]) -> dict[str, float]:
    return {name: value / values["wimamba"] for name, value in values.items() if name != "wimamba"}


def row(patch_size: int, latency_ms: dict[str, float], megabytes: dict[str, float]) -> dict:
    paper = {name: over_wimamba(values)["naive"] for name, values in PUBLISHED[patch_size].items()}
    return {
        "tokens": TOKENS[patch_size],
        "latency_ms": latency_ms,
        "megabytes": megabytes,
        "latency_over_wimamba": over_wimamba(latency_ms) | {"naive_published": paper["latency_ms"]},
        "memory_over_wimamba": over_wimamba(megabytes) | {"naive_published": paper["megabytes"]},
    }


def on_cpu(models: dict, csi: torch.Tensor) -> dict[int, dict]:
    rows = {}
    for patch_size in TOKENS:
        passes = calls(models, csi, patch_size)
        slow = passes.pop("naive")
        times = medians(passes, ROUNDS[patch_size])
        rounds = NAIVE_ROUNDS.get(patch_size)
        times["naive"] = medians({"naive": slow}, rounds)["naive"] if rounds else seconds(slow)
        small = calls(models, csi[:, :, : 8 * patch_size, : 8 * patch_size], patch_size)
        memory = {
            name: peak_memory(call, small[name]) + weights(models)[name]
            for name, call in {**passes, "naive": slow}.items()
        }
        rows[patch_size] = row(
            patch_size,
            {name: 1e3 * value for name, value in times.items()},
            {name: value / 1e6 for name, value in memory.items()},
        )
        print(json.dumps(rows[patch_size]), flush=True)
    return rows


def on_gpu(models: dict, csi: torch.Tensor) -> dict:
    if not torch.cuda.is_available():
        return {"skipped": "no CUDA device"}
    models = {name: model.cuda() for name, model in models.items()}
    rows = {}
    for patch_size in TOKENS:
        passes = calls(models, csi.cuda(), patch_size)
        times = medians({name: finished(call) for name, call in passes.items()}, GPU_ROUNDS)
        memory = {name: peak_memory_of_gpu(call) + weights(models)[name] for name, call in passes.items()}
        rows[patch_size] = row(
            patch_size,
            {name: 1e3 * value for name, value in times.items()},
            {name: value / 1e6 for name, value in memory.items()},
        )
    scan = "plain torch" if cuda_kernel() is None else "mamba-ssm"
    return {"device": torch.cuda.get_device_name(), "scan": scan, "patch_sizes": rows}


def ratios(devices: dict[str, dict]) -> str:
    """Markdown of the rows by patch size of some devices."""
    header = ["on", "tokens", "WiMamba [ms]", "WiMamba [MB]"]
    for figure in ("latency", "memory"):
        header += [f"{figure}, naive / WiMamba", "published", f"{figure}, fused / WiMamba"]
    rows = []
    for device, sizes in devices.items():
        for found in sizes.values():
            cells = [device, f"{found['tokens']:,}"]
            cells += [f"{found[figure]['wimamba']:.0f}" for figure in ("latency_ms", "megabytes")]
            for figure in ("latency_over_wimamba", "memory_over_wimamba"):
                cells += [significant(found[figure][name], 2) for name in ("naive", "naive_published", "fused")]
            rows.append(cells)
    return markdown_table(header, rows)


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    gpu = result["cuda"]
    told = gpu.get("skipped") or f"{gpu['device']}, the scan by {gpu['scan']}"
    return f"{ratios({'CPU': result['cpu'], 'GPU': gpu.get('patch_sizes', {})})}\n\nGPU: {told}."


def drawn() -> tuple[dict, torch.Tensor]:
    """Fresh networks and channels, the same ones in every call."""
    torch.manual_seed(0)
    models = {"wimamba": published.wimamba(), "fused": published.lwm(max(TOKENS.values()))}
    return models, torch.randn(BATCH, 1, ANTENNAS, SUBCARRIERS, dtype=torch.complex64)


def main() -> None:
    torch.set_num_threads(1)
    models, csi = drawn()
    result = {
        "batch": BATCH,
        "channel": [ANTENNAS, SUBCARRIERS],
        "threads": 1,
        "parameters": {name: sum(value.numel() for value in model.parameters()) for name, model in models.items()},
        "cpu": on_cpu(models, csi),
        "cuda": on_gpu(models, csi),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
