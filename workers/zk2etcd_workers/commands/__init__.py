"""The work behind `diff`, `check` and `genzk`, for a person who waits at a terminal. It uses the
mirror's own parts and knows nothing of click, pipes or the supervisor."""
