"""A person's side of the admin address: asking, and drawing what was answered. It knows the
documents that are served, and nothing behind them."""
