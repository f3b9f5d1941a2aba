"""Lines of every process: what they look like, where they go, which are only counted. It knows the
configuration of logging, and nobody who logs."""
