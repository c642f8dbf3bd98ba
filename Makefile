# `make demo` and `make test` do everything on a machine with Python 3.11+, make and git.
PYTHON ?= python3

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-long docs clean

demo: $(VENV)/.demo
	$(PY) run.py --experiment_id=mnist --use_cuda=false --hidden_sizes="[64]"

test: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m basedpyright
	$(PY) -m pytest -n 2 -m "not slow and not kill"
	$(PY) -m pytest -n 2 -m "slow and not kill"
	$(PY) -m pytest -n 2 -m kill

# Looks further with every property test; then kills hundreds of runs and resumes them, and puts the table of
# docs/reliability.md anew. An hour on two cores.
test-long: $(VENV)/.dev
	$(PY) -m pytest -n 2 --hypothesis-profile=wide -m "not slow and not kill"
	$(PY) tests/chaos/long.py --kills=300 --seed=0

docs: $(VENV)/.dev
	$(PY) docs/generate.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis

# The stamps remember what is installed: nothing is installed twice until pyproject.toml or constraints.txt changes.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e ".[dev]"
	touch $(VENV)/.demo $@

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is not installed; labwright needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); labwright needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	touch $@
