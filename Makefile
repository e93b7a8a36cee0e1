# The chores, one target each. `make demo` and `make test` need Python 3.11 or later, make and a
# package index; no root, no running server, no GPU.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A folder of its own, so that a demo touches nothing of yours; `make demo DEMO=...` moves it.
DEMO ?= .demo

# Many tests wait for real processes, so four at a time keep two cores busy; whichever is done
# first takes over tests of the others.
JOBS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# make storm SEED=7 DATABASE=postgres
SEED ?= 1
DATABASE ?= sqlite

.PHONY: help demo install test test-fast lint types check bench bench-models mutants storm recovery clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

# Every worker and every command of the tests is a process; one that may keep no bytecode compiles
# cvq anew each time.
export PYTHONDONTWRITEBYTECODE :=

# uv takes a fifth of pip's time for PyTorch's gigabytes, but leaves their compiling to each import,
# and knows nothing of pip.conf: where an index is named there alone, pip finds it.
EXTRAS := worker,postgres,s3,sweep,dev
define install
$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -e '.[$(1)]' || $(BIN)/python -m pip install -e '.[$(1)]'
endef

# Beside a folder that is called cvq, as a clone is, Python takes that folder for the package before
# it asks an editable install; a path to the checkout is asked in time.
define name_checkout
@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cvq-checkout.pth"
endef

$(VENV)/.worker: pyproject.toml | $(BIN)/python
	@echo "Installing cvq with PyTorch (6 GB on Linux, with CUDA; some minutes) ..."
	$(call install,worker)
	$(name_checkout)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing cvq with PyTorch and what the tests need (7 GB on Linux; some minutes) ..."
	$(call install,$(EXTRAS))
	$(name_checkout)
	@touch $@ $(VENV)/.worker

install: $(VENV)/.worker  ## Make .venv and install cvq with the worker

demo: $(VENV)/.worker  ## Run a real style transfer through the queue and say where the picture is
	@CVQ_HOME="$(abspath $(DEMO))/home" $(BIN)/python examples/demo.py "$(DEMO)"

test: $(VENV)/.dev  ## Run all tests, with real Redis, Postgres and workers
	$(PYTEST)

test-fast: $(VENV)/.dev  ## Run the tests that take little time
	$(PYTEST) -m 'not slow'

lint: $(VENV)/.dev  ## Check style, formatting and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev  ## Check the types
	@mkdir -p build/types
	@for name in cli workers migrations; do ln -sfn ../../$$name build/types/cvq_$$name; done
	$(BIN)/mypy

check: lint types test  ## All of the above, as CI does

bench: $(VENV)/.dev  ## Print the figures: start-up, overhead of the queue
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.overhead

bench-models: $(VENV)/.dev  ## Train every model: MNIST=DIR CIFAR10=ZIP FACES=ZIP (about 40 minutes)
	$(BIN)/python -m benchmarks.models $(if $(MNIST),--mnist $(MNIST)) \
		$(if $(CIFAR10),--cifar10 $(CIFAR10)) $(if $(FACES),--faces $(FACES))

mutants: $(VENV)/.dev  ## Put faults into the core, one by one, and list those that no test notices
	$(BIN)/uv pip install --quiet --python $(BIN)/python 'mutmut>=3.8'
	rm -rf mutants
	$(BIN)/mutmut run --max-children $(JOBS)
	$(BIN)/mutmut results

storm: $(VENV)/.dev  ## Kill and freeze everything for ten minutes, and count what is lost
	$(BIN)/python -m benchmarks.storm --seed $(SEED) --database $(DATABASE)

recovery: $(VENV)/.dev  ## Print how soon and how well cvq comes back from each way to die
	$(BIN)/python -m benchmarks.recovery

clean:  ## Remove what make made, the environment included
	rm -rf $(VENV) $(DEMO) build dist mutants *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
