# Everything runs in environments of its own, made from constraints files: needs Python 3.11+, make and a package index,
# nothing else. `make demo ARGS=--exit` passes ARGS on. MLflow is measured and tested against from a second environment,
# because it cannot be installed beside the versions that holdfast itself is tested with.

PYTHON ?= $(shell for v in 3.13 3.12 3.11; do command -v python$$v >/dev/null 2>&1 && python$$v -c '' 2>/dev/null && echo python$$v && exit; done; echo python3)
VENV ?= .venv
MLFLOW_VENV ?= .venv-mlflow
BIN := $(VENV)/bin
ARGS ?=
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
EXTRAS := dev,onnx,lightgbm,postgres,redis,s3,delta

.PHONY: demo test test-core test-mlflow lint fix bench bench-peers docs-picture clean

demo: $(VENV)/.core
	$(BIN)/holdfast demo $(ARGS)

# The whole suite, then the tests that need the real MLflow client. ARGS may select tests of one of the two only.
test: $(VENV)/.dev $(MLFLOW_VENV)/.dev
	$(run_core_tests)
	$(run_mlflow_tests)

test-core: $(VENV)/.dev
	$(run_core_tests)

test-mlflow: $(MLFLOW_VENV)/.dev
	$(run_mlflow_tests)

# pytest answers 5 when nothing was selected: no failure where ARGS does the selecting.
or_selects_nothing = || [ $$? -eq 5 -a -n "$(ARGS)" ]
run_core_tests = $(BIN)/python -m pytest $(ARGS) $(or_selects_nothing)
run_mlflow_tests = HOLDFAST_REQUIRE="$$HOLDFAST_REQUIRE,mlflow" $(MLFLOW_VENV)/bin/python -m pytest -m mlflow $(ARGS) $(or_selects_nothing)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Tracking with MLflow's server and client beside it, in the same turns. `make bench ARGS=tracking` does so too, once
# their environment exists.
bench-peers: $(VENV)/.dev $(MLFLOW_VENV)/.dev
	HOLDFAST_BENCH_MLFLOW=$(MLFLOW_VENV)/bin/python $(BIN)/python -m bench tracking $(ARGS)

clean:
	rm -rf $(VENV) $(MLFLOW_VENV)

%/.python:
	$(PYTHON) -c 'import sys; sys.exit("holdfast needs Python 3.11 or newer; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $*
	touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

$(MLFLOW_VENV)/.dev: $(MLFLOW_VENV)/.python pyproject.toml constraints-mlflow.txt
	$(MLFLOW_VENV)/bin/python $(PIP_INSTALL) -c constraints-mlflow.txt -e '.[$(EXTRAS)]' mlflow
	touch $@

# Kept although they are only a step on the way.
.PRECIOUS: %/.python
