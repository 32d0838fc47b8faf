"""The report's section on downstream tasks, from metrics/downstream.json."""


def downstream_section(metrics: dict) -> str:
    """Markdown: a sentence a task on pretrained against raw, the tables behind it, and the pictures.

    Args:
        metrics: content of metrics/downstream.json.
    """
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from wavefoundry.evaluation.downstream.verdicts import judge

    fraction = metrics["choice_fraction"]
    verdicts = judge(metrics["inputs"], fraction)
    count = sum(verdict.beats for verdict in verdicts)
    gained = [verdict.gained for verdict in verdicts if verdict.gained is not None]
    samples = metrics["samples"]
    parts = [
        f"Heads on frozen representations of snapshots, {samples['train']} samples to learn from, "
        f"{samples['validation']} to choose on, {samples['test']} to test on, split by trajectory. Mean ± standard "
        "deviation over seeds, each of which draws its own labels and initial heads. Representation and patch size "
        f"are chosen on the validation split with {fraction:.0%} of the labels, for the raw channel too.",
        f"With {fraction:.0%} of the labels the best pretrained representation beats the raw channel, by more than "
        f"the spread over seeds, in {count} of {len(verdicts)} tasks. In {sum(gained)} of the {len(gained)} tasks in "
        "which the best one was also measured as it was before any training, pretraining made it better by more than "
        "the spread; the rest is owed to the network's form.",
        "\n".join(_sentence(verdict, fraction) for verdict in verdicts),
    ]
    for task, about in TASKS.items():
        parts += [
            f"### {about.title[0].upper()}{about.title[1:]}",
            _curve_table(task, metrics),
            f"![{about.title}](figures/downstream/{task}.png)",
        ]
        if task == "beam_tracking":
            parts.append(_last_window_table(metrics))
    parts += [
        "### What a patch tells of its channel",
        "NMSE [dB] of a linear head that shall give back, patch by patch, the clean channel itself that was read, with "
        f"{fraction:.0%} of the labels: what a representation has lost, no head brings back in interpolation and "
        "estimation.",
        _round_trip_table(metrics),
        f"### Representations and patch sizes, {fraction:.0%} of the labels",
        "Test scores of the first seed, of all seeds for networks that were never trained; what the validation split "
        "chose is in bold.",
        *(
            f"{about.title[0].upper()}{about.title[1:]}\n\n{_grid_table(task, metrics)}"
            for task, about in TASKS.items()
        ),
        "![Patch sizes](figures/downstream/patch_sizes.png)",
    ]
    if metrics["tuned"]:
        about = metrics["tuning"]
        parts += [
            "### Last layers tuned",
            f"The last {about['layers']} layer(s) trained together with the head on the mean of the patches, patch "
            f"size {about['patch_size']}, {about['fraction']:.0%} of the labels; beside it the same head on what the "
            "frozen network gives, of the first seed.",
            _tuned_table(metrics),
        ]
    return "\n\n".join(parts) + "\n"


def _sentence(verdict, fraction: float) -> str:
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from wavefoundry.evaluation.downstream.verdicts import show

    about = TASKS[verdict.task]
    outcome = "beat" if verdict.beats else "do **not** beat"
    reasons = "".join(f"; {reason}" for reason in verdict.reasons)
    return (
        f"- **{about.title}**: pretrained embeddings {outcome} the raw channel with {fraction:.0%} of the labels: "
        f"{show(verdict.task, verdict.score)} ({verdict.best}) against {show(verdict.task, verdict.raw)}, "
        f"spread {show(verdict.task, verdict.spread)}{reasons}."
    )


def _cell(scores: dict, metric: str) -> str:
    from wavefoundry.evaluation.downstream.verdicts import mean, spread

    digits = 1 if metric.endswith(("_m", "_db")) else 3
    value = f"{mean(scores, 'test', metric):.{digits}f}"
    return f"{value} ± {spread(scores, 'test', metric):.{digits}f}" if len(scores["test"][metric]) > 1 else value


def _curve_table(task: str, metrics: dict) -> str:
    """Every input at every fraction, the deciding metric; its other metrics at the largest fraction."""
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from stages.report import markdown_table

    metric, reference = TASKS[task].metric, metrics["references"][task]
    fractions = [f"{fraction:g}" for fraction in metrics["label_fractions"]]
    others = [name for name in reference if name not in ("what", metric)]
    rows = []
    for name, result in metrics["inputs"].items():
        curve = result["curves"][task]
        representation, patch = result["chosen"][task]
        rows.append(
            [
                name,
                f"{representation.replace('_', ' ')}, {patch}",
                *(_cell(curve[fraction], metric) if fraction in curve else "-" for fraction in fractions),
                *(_cell(curve[fractions[-1]], other) if fractions[-1] in curve else "-" for other in others),
            ]
        )
    blank = [""] * (len(fractions) - 1)
    digits = 1 if metric.endswith(("_m", "_db")) else 3
    rows.append([reference["what"], "no head", *blank, *(f"{reference[key]:.{digits}f}" for key in (metric, *others))])
    header = ["input", "representation, patch size", *(f"{_words(metric)}, {float(f):.0%}" for f in fractions)]
    return markdown_table([*header, *(f"{_words(other)}, {float(fractions[-1]):.0%}" for other in others)], rows)


def _grid_table(task: str, metrics: dict) -> str:
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from stages.report import markdown_table

    metric = TASKS[task].metric
    tables = {name: result["table"][task] for name, result in metrics["inputs"].items()}
    sizes = list(dict.fromkeys(size for table in tables.values() for by_patch in table.values() for size in by_patch))
    rows = []
    for name, table in tables.items():
        for representation, by_patch in table.items():
            cells = [_cell(by_patch[size], metric) if size in by_patch else "-" for size in sizes]
            chosen, patch = metrics["inputs"][name]["chosen"][task]
            if chosen == representation:
                cells[sizes.index(patch)] = f"**{cells[sizes.index(patch)]}**"
            rows.append([name, representation.replace("_", " "), *cells])
    return markdown_table(["input", "representation", *(f"patch {size}" for size in sizes)], rows)


def _tuned_table(metrics: dict) -> str:
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from stages.report import markdown_table

    about, rows = metrics["tuning"], []
    for task, by_model in metrics["tuned"].items():
        for name, scores in by_model.items():
            metric = TASKS[task].metric
            frozen = metrics["inputs"][name]["table"][task].get("mean", {}).get(str(about["patch_size"]))
            comparable = frozen and about["fraction"] == metrics["choice_fraction"]
            cells = [_cell(each, key) if each else "-" for each in (frozen if comparable else None, scores)
                     for key in (metric, "f1")]  # fmt: skip
            rows.append([TASKS[task].title, name, *cells])
    return markdown_table(["task", "model", "accuracy, frozen", "F1, frozen", "accuracy, tuned", "F1, tuned"], rows)


def _last_window_table(metrics: dict) -> str:
    """Beam tracking from all past windows and from the last one alone, at the fraction of the choice."""
    from wavefoundry.evaluation.downstream.tasks import TASKS

    from stages.report import markdown_table

    metric, fraction = TASKS["beam_tracking"].metric, metrics["choice_fraction"]
    rows = [
        [name, _cell(result["curves"]["beam_tracking"][f"{fraction:g}"], metric), _cell(result["last_window"], metric)]
        for name, result in metrics["inputs"].items()
    ]
    words = f"{_words(metric)}, {fraction:.0%}"
    return markdown_table(["input", f"{words}, all past windows", f"{words}, the last window alone"], rows)


def _round_trip_table(metrics: dict) -> str:
    from stages.report import markdown_table

    found = {name: result["round_trip"] for name, result in metrics["inputs"].items() if result["round_trip"]}
    sizes = list(dict.fromkeys(size for by_patch in found.values() for size in by_patch))
    rows = [
        [name, *(f"{by_patch[size]:.1f}" if size in by_patch else "-" for size in sizes)]
        for name, by_patch in found.items()
    ]
    return markdown_table(["input", *(f"patch {size}" for size in sizes)], rows)


def _words(metric: str) -> str:
    unit = " [dB]" if metric.endswith("_db") else " [m]" if metric.endswith("_m") else ""
    words = metric.removesuffix("_db").removesuffix("_m").replace("_", " ").replace("nmse", "NMSE").replace("f1", "F1")
    return words + unit
