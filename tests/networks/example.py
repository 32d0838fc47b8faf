"""What the small networks of the tests have in common."""

TRAINING = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_fraction": 0.1,
    "max_grad_norm": 1.0,
    "epochs_per_checkpoint": 1,
    "precision": "float32",
}
