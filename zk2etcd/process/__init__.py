"""One spawned child, from both ends of its pipe: start, talk, end, kill, and its stacks. When to
start or restart one is decided elsewhere."""
