"""structlog set-up for each process (being written)."""
