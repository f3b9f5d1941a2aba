"""Plain values and pure rules: nodes, paths and keys, what has to change, what may. It knows no
clock, thread, log or server."""
