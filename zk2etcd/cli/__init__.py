"""The command line: one file a subcommand, from arguments to an exit code. It knows every room
below, and the data plane inside the functions of `diff`, `check` and `genzk`."""
