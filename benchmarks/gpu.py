"""What can only be checked and measured on a GPU: attention, the selective scan, trainings, the efficiency table.

`python -m benchmarks.gpu`, on a machine with CUDA; it reaches no network. First come the tests that a CPU skips, and
those of training, which runs on the GPU where there is one: FlexAttention and its gradients against the CPU, the
kernels of mamba-ssm against our scan, trainings in bfloat16 that go on to the bit after an interruption, two processes
that take the steps of one. Then times, medians after a warm-up: one layer of sparse attention over the grids of
`benchmarks.ssta`, forward, against torch's fused attention over all pairs; WiMamba's scan by the kernels of mamba-ssm,
where that package is installed, against ours in plain torch; and the efficiency table of `benchmarks.efficiency_table`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks.efficiency_table import BATCH, drawn, on_gpu, ratios
from benchmarks.ssta import GRIDS, SIZES, forward, inputs, methods
from benchmarks.timing import finished, medians
from stages.stage import clear_errors
from wavefoundry.errors import InputError
from wavefoundry.networks.wimamba import selective_scan as scan
from wavefoundry.report.tables import markdown_table, significant

PROJECT = Path(__file__).parents[1]
TESTS = ("tests/networks/lwm_temporal/test_ssta.py", "tests/networks/wimamba/test_selective_scan.py", "tests/training")
ROUNDS = 20
LENGTH, CHANNELS, STATES = 3601, 76, 16  # of one direction of WiMamba as published, at the longest sequence


def tests() -> dict:
    """How many tests have passed, failed and been skipped, and why the last ones were.

    Raises:
        InputError: pytest itself does not run.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *TESTS]
    ran = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    if ran.returncode not in (0, 1):
        raise InputError(f"the tests cannot be run: {ran.stdout.strip()}")
    counts = dict.fromkeys(("passed", "failed", "skipped", "error"), 0)
    counts |= {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|error)", ran.stdout)}
    return counts | {"skips": re.findall(r"^SKIPPED .*$", ran.stdout, re.MULTILINE)}


def attention(device: torch.device, sizes: tuple[int, ...] = SIZES) -> dict[int, dict[str, float]]:
    """Seconds of one layer, forward, by number of tokens."""
    found = {}
    for tokens in sizes:
        parts = [part.detach().to(device) for part in inputs(GRIDS[tokens])]
        calls = methods(GRIDS[tokens], parts)
        found[tokens] = medians({name: finished(forward(call)) for name, call in calls.items()}, ROUNDS)
    return found


def scans(device: torch.device, length: int = LENGTH) -> dict:
    """Seconds of both directions of a layer's scan, and the relative difference of the two ways."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    shape = (length, 2, BATCH, CHANNELS)
    values = [normal(*shape), normal(*shape).exp() / 10, -normal(2, CHANNELS, STATES).exp()]
    values += [normal(length, 2, BATCH, STATES) for _ in range(2)]
    values = [value.to(device) for value in values]

    def plain() -> torch.Tensor:
        with patch.object(scan, "cuda_kernel", lambda: None):
            return scan.selective_scan(*values)

    calls = {"plain torch": plain}
    if device.type == "cuda" and scan.cuda_kernel() is not None:
        calls["mamba-ssm"] = lambda: scan.selective_scan(*values)
    found: dict = {"seconds": medians({name: finished(forward(call)) for name, call in calls.items()}, ROUNDS)}
    if "mamba-ssm" in calls:
        expected, ours = (forward(call)() for call in calls.values())
        found["relative_difference"] = ((ours - expected).norm() / expected.norm()).item()
    return found


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    checked = result["tests"]
    told = [f"On {result['device']}: {checked['passed']} tests passed, {checked['failed'] + checked['error']} failed."]
    told += checked["skips"]
    names = list(next(iter(result["attention"].values())))
    rows = [
        [f"{int(tokens):,}", *(f"{1e3 * seconds[name]:.2f}" for name in names)]
        for tokens, seconds in result["attention"].items()
    ]
    told.append(markdown_table(["tokens", *(f"{name.replace('_', ', ')} [ms]" for name in names)], rows))
    seconds = result["scan"]["seconds"]
    told.append(markdown_table(["scan", "seconds"], [[name, significant(value, 3)] for name, value in seconds.items()]))
    if "relative_difference" in result["scan"]:
        told.append(f"Relative difference of the two: {result['scan']['relative_difference']:.1e}.")
    return "\n\n".join([*told, ratios({"GPU": result["efficiency"]["patch_sizes"]})])


@clear_errors()
def main() -> None:
    if not torch.cuda.is_available():
        raise InputError("benchmarks.gpu needs a CUDA device, and torch finds none")
    device = torch.device("cuda")
    result = {
        "device": torch.cuda.get_device_name(),
        "tests": tests(),
        "attention": attention(device),
        "scan": scans(device),
        "efficiency": on_gpu(*drawn()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
