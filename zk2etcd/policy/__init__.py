"""What the supervisor decides by: pure functions over frozen values. Time and randomness are
arguments; it knows no process, clock, file or log."""
