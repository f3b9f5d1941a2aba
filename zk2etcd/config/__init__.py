"""What an operator writes, as frozen models: read, filled in, checked, and explained. It knows
files and the environment, and no process, server or log."""
