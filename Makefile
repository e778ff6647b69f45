# Every target sets up .venv by itself; the second time that is quick.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# where this is set, each process compiles every module that it imports, torch's, too: that is most of a short command
export PYTHONDONTWRITEBYTECODE :=

.PHONY: venv demo test test-fast test-weekly lint docs bench latency-models clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hwnas needs Python 3.11 or newer; name one with make PYTHON=python3.11" >&2; exit 1; }
# the pip that comes with Python 3.11 needs twice the time; where no other is to be had, it will do
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
# pip would compile all of torch; Python compiles the modules that are imported, here once instead of in each process
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
	  torch==2.13.0 -e '.[all,dev]'
	@$(BIN)/python -c 'import torch._dynamo, kornia.augmentation, sklearn.model_selection, hwnas.designer.design'
	@touch $@

# The budget is the middle of what this machine can do, so that the demo asks for something on any machine.
demo: $(STAMP)
	@mkdir -p runs
	$(BIN)/hwnas measure --space tiny --device local --runtime litert --json > runs/demo-table.json
	$(BIN)/hwnas design --space tiny --data digits --device local --runtime litert --budget-ms \
	  $$($(BIN)/python -c 'import json; t = json.load(open("runs/demo-table.json")); print(round((t["fastest_ms"] + t["slowest_ms"]) / 2, 3))')

# The tests that need a phone or a board skip where the script could not bring all they need.
test: $(STAMP)
	@tests/android/install.sh || true
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not weekly' tests

# What is left without devices and long runs: for the minute before a commit.
test-fast: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow and not weekly' tests

# What takes long, and of which the other tests prove most; and more examples of properties.
test-weekly: $(STAMP)
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=1200 notebooks
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m weekly tests
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m hypothesis --hypothesis-profile thorough tests

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site of the documents in .site; a broken link or an unknown parameter is an error.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

latency-models: $(STAMP)
	$(BIN)/python benchmarks/latency_models.py

clean:
	rm -rf .venv .devices runs
