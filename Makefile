# make run     serve this repository's own jobs.d/ and watch the jobs fire
# make test    everything that can be proved on this machine
# make check   lint, types, import contracts
# make simulate SEEDS=1000   months of both loops in virtual time; SEED=43 shows one of them again
# make simulate-docker SEEDS=10   storms of seconds on a real Docker Engine; SEED=41 has one of them again
# make bench   side by side with peers, in one run
# make dist    wheel and sdist
# Each sets up what it needs in .venv by itself, from the hashed locks. PYTHON=... chooses another Python (3.11 or later).

PY := .venv/bin/python
STATE := .state
# Two workers share one private Engine. A file stays on one worker, beside what its fixtures made; files go out in order, so
# that the long ones of tests/real are not last.
TESTS := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help run test check simulate simulate-docker bench dist lock clean setup-run setup-dev

help:
	@sed -n 's/^# make/make/p' Makefile

setup-run:
	@scripts/setup run

setup-dev:
	@scripts/setup dev

define NEXT

In another terminal, here:
  export PATH="$(CURDIR)/.venv/bin:$$PATH" RECONCILER_STATE_DIR="$(CURDIR)/$(STATE)"
  reconciler jobs             what there is, and how it goes
  reconciler logs hello -f    what a job says
  reconciler run data/etl-orders --follow
Then change the words in jobs.d/hello.yaml, `git commit -am "Say it differently"`, and watch this terminal.
Ctrl-C stops the service and leaves runs alone.

endef
export NEXT

run: setup-run
	@scripts/example-image
	@printf '%s\n' "$$NEXT"
	@exec .venv/bin/reconciler serve --source . --engine auto --state-dir $(STATE) --show-plan $(ARGS)

# The one Python call is last, so that what it says of tiers that did not run is the last line.
test: check
	@$(PY) -m pytest $(TESTS) $(ARGS)

check: setup-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo

simulate: setup-dev
	$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED) --shrink,$(or $(SEEDS),200)) $(ARGS)

simulate-docker: setup-dev
	$(PY) -m tests.storms $(if $(SEED),--seed $(SEED) $(if $(MOST),--most $(MOST)),$(or $(SEEDS),10)) $(ARGS)

bench: setup-dev
	$(PY) -m benchmarks $(ARGS)

dist: setup-run
	$(PY) -m hatchling build --clean

lock:
	scripts/lock

clean:
	rm -rf .venv .state dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find reconciler tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
