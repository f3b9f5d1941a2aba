"""Private real servers and a supervisor on them, for demo, tests and benchmarks. Nothing of it runs
in production."""
