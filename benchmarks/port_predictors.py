"""Table I of CSI-ALM as ratios in one run: weights, trained weights and the time of one prediction.

python -m benchmarks.port_predictors: one thread, fused attention for all, fresh weights in the published sizes (GPT-2's
architecture with six blocks; 16 known slots, 4 wanted, 48 subcarriers, 32 antenna ports of one sample), in evaluation
mode; all in turn, warm-up first, medians of 7. Source of the published figures: "Bridging the Modality Gap: Enhancing
Channel Prediction with Semantically Aligned LLMs and Knowledge Distillation", arXiv:2505.12729, Table I, measured there
on a GPU, with the attention weights of the language model written out.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from transformers import AutoConfig, AutoModel

from benchmarks.timing import medians
from wavefoundry.language_models.language_model import LanguageModel
from wavefoundry.networks.family import families, model_module
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork
from wavefoundry.report.tables import markdown_table

ROUNDS = 7
TRAINING = {
    "epochs": 1,
    "batch_size": 1,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "max_grad_norm": 1.0,
    "epochs_per_checkpoint": 1,
    "precision": "float32",
}
PORTS = {
    "link": {"known_slots": 16, "horizon": 4, "subcarriers": 48, "band": "same"},
    "sequences": {"kind": "antenna_ports", "drawn": 32},
    "linear_prediction": None,
    "statistics": "sequence",
    "reference": "none",
    "snr_db": [5.0, 20.0],
    "few_shot": None,
    "training": TRAINING,
}
RECURRENT = {"input_size": 88, "hidden_size": 256, "depth": 4}
LANGUAGE = {"language_model": "gpt2", "patch": 4, "conv_channels": 64, "conv_blocks": 4, "dropout": 0.1}
NETWORKS = {
    "gru": ("recurrent", {"cell": "gru"} | RECURRENT),
    "lstm": ("recurrent", {"cell": "lstm"} | RECURRENT),
    "rnn": ("recurrent", {"cell": "rnn"} | RECURRENT),
    "transformer": (
        "transformer_predictor",
        {
            "label_slots": 12,
            "hidden_size": 288,
            "heads": 8,
            "encoder_depth": 3,
            "decoder_depth": 2,
            "feed_forward": 1472,
            "dropout": 0.0,
        },
    ),
    "cnn": ("convolutional", {"channels": [8, 16, 32, 64, 128, 256, 512]}),
    "llm4cp": ("llm4cp", LANGUAGE),
    "csi_alm": (
        "csi_alm",
        LANGUAGE
        | {
            "blocks": True,
            "lora": {"rank": 16, "alpha": 48, "dropout": 0.2, "targets": ["c_attn", "c_proj", "c_fc"]},
            "alignment": {"rows": 484, "heads": 16, "feed_forward": 2048},
            "prompts": {"pool": 100, "chosen": 4, "similarity_weight": 0.01},
        },
    ),
    "csi_alm_light": (
        "csi_alm_light",
        {
            "architecture": {
                "hidden_size": 128,
                "depth": 3,
                "heads": 8,
                "feed_forward": 128,
                "prompts": 4,
                "dropout": 0.1,
            }
        },
    ),
}
# Millions of weights, of these trained, and milliseconds.
PUBLISHED = {
    "gru": (1.49, 1.49, 7.74),
    "lstm": (1.96, 1.96, 8.34),
    "rnn": (0.51, 0.51, 6.72),
    "transformer": (6.78, 6.78, 80.9),
    "cnn": (3.14, 3.14, 1.38),
    "llm4cp": (83.6, 1.77, 20.1),
    "csi_alm": (93.8, 11.8, 198.2),
    "csi_alm_light": (0.349, 0.349, 2.41),
}


def language_model() -> LanguageModel:
    """GPT-2's first six blocks with fresh weights, and a dictionary of noise: neither changes what a pass costs."""
    config = {"model_type": "gpt2", "n_layer": 6}
    model = AutoModel.from_config(AutoConfig.for_model(**config))
    return LanguageModel("gpt2", "", "", config, model.state_dict(), torch.randn(600, model.config.hidden_size))


def networks(names: Iterable[str]) -> Iterator[tuple[str, SequenceNetwork]]:
    """Fresh networks in the published sizes."""
    language = language_model()
    for name in names:
        family, settings = NETWORKS[name]
        options, module = families()[family].model_validate(PORTS | settings), model_module(family)
        yield name, module.on(options, language) if options.language_models else module.build(options, 1.0)


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["network", "weights", "trained", "published [M]", "one prediction [ms]", "times Light", "published"]
    rows = []
    for name in NETWORKS:
        row = result[name]
        published = " / ".join(f"{millions:g}" for millions in dict.fromkeys(row["published_millions"]))
        rows.append(
            [
                name,
                f"{row['weights']:,}",
                f"{row['trained']:,}",
                published,
                f"{row['milliseconds']:.1f}",
                f"{row['times_light']:.1f}",
                f"{row['published_times_light']:.1f}",
            ]
        )
    return markdown_table(header, rows)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    counts, calls = {}, {}
    known = torch.randn(1, 16, 32, 48, dtype=torch.complex64)
    for name, network in networks(NETWORKS):
        weights = [(weight.numel(), weight.requires_grad) for weight in network.parameters()]
        counts[name] = sum(count for count, _ in weights), sum(count for count, trained in weights if trained)
        calls[name] = partial(network.eval().predict, known, 4, 0)
    seconds = medians(calls, ROUNDS)
    light = "csi_alm_light"
    rows = {
        name: {
            "weights": counts[name][0],
            "trained": counts[name][1],
            "published_millions": PUBLISHED[name][:2],
            "milliseconds": 1e3 * seconds[name],
            "times_light": seconds[name] / seconds[light],
            "published_times_light": PUBLISHED[name][2] / PUBLISHED[light][2],
        }
        for name in counts
    }
    print(json.dumps({"threads": 1, "attention": "fused", "ports": 32, **rows}))


if __name__ == "__main__":
    main()
