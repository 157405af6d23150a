# From a fresh clone: `make demo` measures three scaffolds on a small real model, `make test` runs every check.
.DEFAULT_GOAL := help
.PHONY: help setup demo sensitivity test lint bench exploits disturbances calibrate mutants soak programs clean
PYTHON := .venv/bin/python
ASCLAIMED := .venv/bin/asclaimed

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## +/\t/' | expand -t 16

setup:  ## .venv and a Docker daemon; what is there is used again
	@.ci/setup

demo: setup  ## a model server, three scaffolds, a report (under 15 minutes on 2 idle cores)
	$(ASCLAIMED) serve -- $(ASCLAIMED) run runs/plans/demo.yaml

sensitivity: setup  ## three scaffolds, two of them one factor from the first, on tasks that the small model can solve (about 20 minutes)
	$(ASCLAIMED) serve -- $(ASCLAIMED) run runs/plans/sensitivity.yaml

test: lint  ## ruff, mypy and the whole suite, Docker and the real model included
	$(PYTHON) -m pytest -n 4 --dist loadfile --no-loadscope-reorder --durations 30

lint: setup  ## ruff and mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: setup  ## what a step costs us, beside docker exec and mini-swe-agent; writes bench.json
	$(ASCLAIMED) bench

exploits: setup  ## strict and official grading of every known way to cheat; writes exploits.md
	$(PYTHON) -m tests.exploits --out exploits.md

disturbances: setup  ## kill the daemon, remove the container, exhaust memory at every step of grading (root; hours)
	$(PYTHON) -m tests.disturbances

calibrate: setup  ## how often the estimates from subsets are right; writes calibration.md
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m evals.calibrate

mutants: setup  ## small changes of what makes a verdict that no test notices (hours; resumes)
	nice $(PYTHON) -m tests.mutants

soak: setup  ## kill -9, full disks, broken answers at every point: always the same report (minutes)
	nice $(PYTHON) -m tests.soak

programs: setup  ## install every known agent program and run it in a sandbox against a scripted server (needs npm's registry; minutes)
	nice $(PYTHON) -m tests.programs

clean:  ## remove .venv and caches; results in runs/ and downloaded models stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find evals scaffolds tasks tests -name __pycache__ -prune -exec rm -rf {} +
