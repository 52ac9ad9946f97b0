# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each makes its own environment in .venv first, and does nothing there when nothing changed.

VENV   ?= .venv
PYTHON ?= $(firstword $(foreach v,python3.11 python3.12 python3.13 python3,$(if $(shell $(v) --version 2>/dev/null),$(v))))
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers
CLASSES := $(VENV)/share/palate/spark-classes.jsa
DATA   ?=
FILES  ?= 4
CPU_TORCH := https://download.pytorch.org/whl/cpu

.PHONY: demo test lint unit bench env doctor spark-package clean

demo: $(READY)            ## train on real data, register the model, leave the services up (DATA=folder, ARGS=--check)
	@$(BIN)/palate demo $(if $(DATA),--data "$(DATA)") $(ARGS)

test: lint unit           ## everything that CI checks

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(READY) $(CLASSES)  # several files at a time, even on two cores: most of a test is waiting; each on one thread
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n $(FILES) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(PEERS)           ## each peer beside ours: benchmarks/results.json and .md
	@$(BIN)/python -m benchmarks $(ARGS)

spark-package: $(READY)   ## what the executors of a bare cluster need, in dist/
	@$(BIN)/palate spark-package --output dist $(ARGS)

doctor: $(READY)          ## what is missing on this machine, and how to get it
	@$(BIN)/palate doctor

env: $(READY)

# torch: pip takes the CPU build wherever an index it can reach has one.
# mxnet 1.9.1 asks for numpy<2 but runs beside numpy 2, hence --no-deps.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No python3 found. Install Python 3.11 or newer."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$($(PYTHON) --version) is too old: Palate needs 3.11 or newer. Say which with PYTHON=python3.11."; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (a few minutes, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@index=; $(PYTHON) -c 'import urllib.request as u; u.urlopen("$(CPU_TORCH)/torch/", timeout=5)' 2>/dev/null && index="--extra-index-url $(CPU_TORCH)"; \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt $$index --editable '.[all,dev]'
	@$(BIN)/python -m pip install --quiet --no-deps --only-binary :all: mxnet==1.9.1 || \
	  echo "mxnet: no wheel of 1.9.1 for this machine. The MXNet engines stay off; everything else works."
	@touch $@

# The many Spark jobs of the tests start sooner with it, and run without it.
$(CLASSES): $(READY)
	-@$(BIN)/palate spark-classes

$(PEERS): $(READY)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]'
	@touch $@

clean:                    ## remove the environment and what the demo wrote
	rm -rf $(VENV) .palate
