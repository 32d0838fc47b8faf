"""Stage evaluate@efficiency: what a forward pass of every backbone costs against the number of its tokens.

Operations and parameters are a function of the networks alone and lie in metrics/; latencies and memory, which differ
from run to run, lie in measurements/.
"""

import argparse
from functools import partial
from pathlib import Path

from stages import params
from stages.json_files import write_json
from stages.model_folders import backbones, model_folder
from stages.stage import clear_errors, stage


def backbone_folders(parameters: params.Params) -> dict[str, Path]:
    """Model folder of every backbone, first seed; of students of the same width, which cost the same, the first."""
    students = {}
    for name, section in parameters.distill.items():
        students.setdefault((section.teacher, section.hidden_size), (name, section.seeds[0]))
    return backbones(parameters) | {name: model_folder(name, seed) for name, seed in students.values()}


def synthetic_channels(section) -> list:
    """Complex Gaussian channels (batch, slot, antenna, subcarrier) of the sizes of a params section."""
    import torch

    generator = torch.Generator().manual_seed(section.channel_seed)
    return [
        torch.randn(section.batch_size, section.slots, *size, dtype=torch.complex64, generator=generator)
        for size in section.sizes
    ]


def count(model, channels: list, patch_size: int) -> dict:
    """Parameters of a backbone, and tokens and operations at every size, or why it cannot read that size."""
    from wavefoundry.errors import InputError
    from wavefoundry.evaluation.efficiency import embedding_flops, parameter_count

    rows = []
    for csi in channels:
        row = dict(zip(("slots", "antennas", "subcarriers"), csi.shape[1:], strict=True))
        try:
            row["tokens"], row["flops"] = embedding_flops(model, csi, patch_size)
        except InputError as error:
            row["left_out"] = str(error)
        rows.append(row)
    return {"parameters": parameter_count(model), "sizes": rows}


def measure(model, channels: list, counted: dict, section, device: str) -> list[dict]:
    """Latency and peak memory at every size that the backbone reads."""
    from wavefoundry.evaluation.efficiency import embed, median_ms, peak_memory, peak_memory_of_gpu

    model = model.to(device)
    rows = []
    for csi, row in zip(channels, counted["sizes"], strict=True):
        if "left_out" in row:
            continue
        call = partial(embed, model, csi.to(device), section.patch_size)
        latency = median_ms(call, section.repetitions)
        memory = peak_memory(call, call) if device == "cpu" else peak_memory_of_gpu(call)
        rows.append({"tokens": row["tokens"], "latency_ms": latency, "peak_mebibytes": memory / 2**20})
    model.to("cpu")
    return rows


def slope(points: list[tuple[int, float]]) -> float:
    """Growth of a cost with the tokens: slope of the straight line through the logarithms."""
    import numpy as np

    return float(np.polyfit(*np.log(points).T, 1)[0])


def summarise(metrics: dict) -> dict:
    """{backbone: {"parameters", "megaflops_per_token", "flops_slope"}}, operations at the largest size it reads."""
    summary = {}
    for name, backbone in metrics.items():
        points = [(row["tokens"], row["flops"]) for row in backbone["sizes"] if "flops" in row]
        summary[name] = {"parameters": backbone["parameters"]}
        if len(points) > 1:
            tokens, flops = points[-1]
            summary[name]["megaflops_per_token"] = round(flops / tokens / 1e6, 4)
            summary[name]["flops_slope"] = round(slope(points), 3)
    return summary


def curves(metrics_or_measurements: dict[str, list[dict]], cost: str) -> dict[str, list[tuple[int, float]]]:
    """(tokens, cost) of every backbone at the sizes it reads."""
    return {
        name: [(row["tokens"], row[cost]) for row in rows if cost in row]
        for name, rows in metrics_or_measurements.items()
    }


def draw_measurements(measurements: dict, folder: Path) -> None:
    """Latency and peak memory on the CPU, for the report."""
    from wavefoundry.plots.efficiency import draw_against_tokens

    rows = measurements["devices"]["cpu"]
    draw_against_tokens(curves(rows, "latency_ms"), "latency [ms]", folder / "latency.png")
    draw_against_tokens(curves(rows, "peak_mebibytes"), "peak memory [MiB]", folder / "memory.png")


def efficiency_section(metrics: dict, measurements: dict) -> str:
    """The report's markdown on costs; its pictures are those of `main` and `draw_measurements`."""
    from stages.report import markdown_table

    devices = measurements["devices"]
    sizes = [(row["antennas"], row["subcarriers"]) for row in next(iter(metrics.values()))["sizes"]]
    slots = next(iter(metrics.values()))["sizes"][0]["slots"]
    parts = [
        f"One forward pass of {measurements['batch_size']} synthetic channel(s), nothing hidden: WiMamba and LWM read "
        f"one snapshot, LWM-Temporal and WiFo {slots} slots. Columns are antennas x subcarriers; cells are tokens, "
        "operations, median latency and peak memory. Growth is the slope of the logarithm of operations, latency and "
        "memory over that of the tokens: 1 is linear, 2 quadratic. Of students of the same width, which cost the same, "
        "the first stands for all."
    ]
    for device, by_backbone in devices.items():
        where = "CPU, one thread" if device == "cpu" else measurements["gpu"]
        header = ["backbone", "parameters", "growth", *(f"{rows} x {columns}" for rows, columns in sizes)]
        rows = [
            [
                name,
                f"{metrics[name]['parameters']:,}",
                _growth(metrics[name], measured),
                *_cells(metrics[name], measured),
            ]
            for name, measured in by_backbone.items()
        ]
        parts += [f"### {where}", markdown_table(header, rows)]
    reasons = [f"{name}: {row['left_out']}" for name in metrics for row in metrics[name]["sizes"] if "left_out" in row]
    if reasons:
        parts.append("Left out (-):\n\n" + "\n".join(f"- {reason}" for reason in reasons))
    if "cuda" not in devices:
        parts.append("There was no GPU to measure on.")
    parts.append(
        "Operations are those of matrix products, convolutions, attention and scans as they are run, two for each "
        "multiplication and addition; transforms of the input, normalisations, activations, softmax and the choice of "
        "keys in LWM-Temporal's routing are not counted."
    )
    parts += [f"![{name}](figures/efficiency/{name}.png)" for name in ("flops", "latency", "memory")]
    return "\n\n".join(parts)


def _growth(counted: dict, measured: list[dict]) -> str:
    if len(measured) < 2:
        return "-"
    flops = curves({"": counted["sizes"]}, "flops")[""]
    costs = [flops, *(curves({"": measured}, cost)[""] for cost in ("latency_ms", "peak_mebibytes"))]
    return " / ".join(f"{slope(points):.2f}" for points in costs)


def _cells(counted: dict, measured: list[dict]) -> list[str]:
    remaining = iter(measured)
    cells = []
    for row in counted["sizes"]:
        if "left_out" in row:
            cells.append("-")
            continue
        cost = next(remaining)
        cells.append(
            f"{row['tokens']:,}: {row['flops'] / 1e9:.3g} GFLOP, {cost['latency_ms']:.3g} ms, "
            f"{cost['peak_mebibytes']:.3g} MiB"
        )
    return cells


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    parameters = params.read()
    section, folders = parameters.evaluate.efficiency, backbone_folders(parameters)
    detail, summary = Path("metrics/efficiency.json"), Path("metrics/efficiency_summary.json")
    costs, figures = Path("measurements/efficiency.json"), Path("figures/efficiency")
    with stage(
        "evaluate@efficiency",
        section=section,
        dependencies=list(folders.values()),
        outputs=[detail, summary, costs, figures],
    ) as run:
        import torch
        from tqdm import tqdm

        import wavefoundry.models  # noqa: F401  (registers the architectures)
        from storage.checkpoints import load_model
        from wavefoundry.plots.efficiency import draw_against_tokens

        # Before any thread is started: memory is measured in forked processes.
        torch.set_num_threads(1)
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        channels = synthetic_channels(section)
        metrics: dict = {}
        measurements: dict = {"batch_size": section.batch_size, "devices": {device: {} for device in devices}}
        if "cuda" in devices:
            measurements["gpu"] = torch.cuda.get_device_name()
        for name, folder in tqdm(folders.items(), desc="backbones", unit="backbone"):
            model = load_model(folder)
            metrics[name] = count(model, channels, section.patch_size)
            for device in devices:
                measurements["devices"][device][name] = measure(model, channels, metrics[name], section, device)
        write_json(detail, metrics)
        write_json(summary, summarise(metrics))
        write_json(costs, measurements)
        flops = curves({name: backbone["sizes"] for name, backbone in metrics.items()}, "flops")
        draw_against_tokens(flops, "floating-point operations", figures / "flops.png")
        run.log_figure(figures / "flops.png")
        run.log_metrics(
            {f"{name}.{key}": value for name, values in summarise(metrics).items() for key, value in values.items()}
        )


if __name__ == "__main__":
    main()
