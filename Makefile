# Each target sets up what it needs on first use: a fresh clone and one command are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# `make bench BENCH=--quick`, `make demo DEMO=--keep`, `make test TEST="-k mapping"`
BENCH ?=
DEMO ?=
TEST ?=
# Files of tests that run at once; half of a test's time is waiting. `JOBS=0`: one after the other.
# Those with a deadline of seconds for a whole process come last, and never more than two at once.
JOBS ?= 4
LAST_JOBS = $(if $(filter 0 1,$(JOBS)),0,2)
# `make faults SEEDS="1 2 3" SECONDS=60 FAULTS="--etcds 3"`; without SEEDS a fresh one
SEEDS ?=
SECONDS ?= 60
FAULTS ?=
# `make mutations MUTATIONS="guard_not_persisted"`: some only; `make faults MUTATIONS=1`: all, too
MUTATIONS ?=

# Hundreds of short processes start in the tests: each would compile all of the source anew.
export PYTHONDONTWRITEBYTECODE :=

# What is drawn in property tests is the same each time in `make test`, and another in these.
cases faults: export ZK2ETCD_SEARCH := 1

.PHONY: help demo test faults mutations cases check bench screenshots format manual dist servers \
	prometheus chromium releases clean

help:
	@echo "make demo    a private ZooKeeper and etcd, and the main job shown on them (60 s)"
	@echo "make test    unit, integration and acceptance tests with real servers"
	@echo "make faults  long runs of the fault suite: SEEDS=\"1 2 3\" SECONDS=60"
	@echo "make mutations  take out each line of defence: does the fault suite notice?"
	@echo "make cases   the cases that are too long for make test"
	@echo "make check   ruff, mypy --strict, import contracts"
	@echo "make bench   the speed figures, beside bare scripts (half an hour; BENCH=--quick for less)"
	@echo "make screenshots  draw docs/images/*.png anew, from a real supervisor (5 min)"
	@echo "make format  let ruff format and fix"
	@echo "make manual  write the generated documents, the reference and the schema anew"
	@echo "make dist    the wheel and the sdist, in dist/"

demo: servers $(READY)
	$(BIN)/zk2etcd demo $(DEMO)

test: servers prometheus chromium releases $(READY)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not long and not alone" $(TEST); \
	first=$$?; [ $$first = 0 ] || [ $$first = 5 ] || exit $$first; \
	$(BIN)/python -m pytest -n $(LAST_JOBS) --dist load -m "alone and not long" $(TEST); \
	second=$$?; [ $$second = 5 ] && exit $$first; exit $$second # 5: none of that kind was chosen

faults: servers releases $(READY)
	$(BIN)/python -m tests.faults --seeds $(SEEDS) --seconds $(SECONDS) $(FAULTS)
ifeq ($(MUTATIONS),1)
	$(BIN)/python -m tests.faults.self_check
endif

mutations: servers $(READY)
	$(BIN)/python -m tests.faults.self_check $(MUTATIONS)

cases: servers releases $(READY)
	$(BIN)/python -m pytest -m long tests/cases tests/integration tests/acceptance tests/deployment
	$(BIN)/python -m pytest -m hypothesis tests/unit tests/integration

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict zk2etcd workers tests benchmarks manual
	$(BIN)/lint-imports

bench: servers $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

screenshots: servers chromium $(READY)
	$(BIN)/python -m tests.browser.screenshots

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

manual: $(READY)
	$(BIN)/python -m manual

dist: $(READY)
	$(BIN)/python -m build

servers:
	@scripts/system-packages.sh

# Tests of dashboard and alerts skip where it cannot be had.
prometheus:
	@scripts/system-packages.sh prometheus \
		|| echo "the tests that need Prometheus will be skipped" >&2

# Tests of the page skip where it cannot be had.
chromium:
	@scripts/system-packages.sh chromium \
		|| echo "the tests of the page in a browser will be skipped" >&2

# Tests of other releases skip, each with the reason, where these cannot be had.
releases:
	@scripts/other-releases.sh || echo "the tests of other releases will be skipped" >&2

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "no venv module: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
