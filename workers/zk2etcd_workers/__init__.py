"""The data plane: what runs inside a worker process, and the work behind `diff` and `check`. Of the
control plane it knows config, messages, metrics, logs and the vocabulary."""
