# Everything runs in .venv, which is made at the first call. Needs Python 3.11 or newer, and PyPI.
#
#   make demo    run the main job on the bundled example
#   make test    lint, types, import walls, tests
#   make yolo    test detect.yolo in .venv-yolo: its library is AGPL-3.0 and brings another OpenCV
#   make lint    all of that but the tests
#   make bench   measure against the limits; writes benchmarks/results/bench.json
#   make bench-gpu   the same for the models at their full size, where there is a GPU
#   make clean   remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := examples/example.mp4
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# First and alone: pip then keeps the build of it that suits this machine, whatever else asks for torch.
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)
EXTRAS := offline,ffmpeg,openai,models,whisper,faster-whisper,langchain,quantised,lora,train

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint yolo bench bench-gpu clean

demo: $(VENV)/.demo
	$(BIN)/videochat plan $(EXAMPLE)
	$(BIN)/videochat watch $(EXAMPLE)
	$(BIN)/videochat ask $(EXAMPLE) "What text is shown, and when?"
	$(BIN)/videochat ask $(EXAMPLE) "How many things move?"
	$(BIN)/videochat ask $(EXAMPLE) "Which way does the red ball move after the cut?"

test: lint
	$(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

yolo: $(VENV)-yolo/.yolo
	$(VENV)-yolo/bin/python -m pytest -q tests/yolo

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

bench-gpu: $(VENV)/.dev
	$(BIN)/python -m benchmarks models embed

clean:
	rm -rf $(VENV) $(VENV)-yolo dist build benchmarks/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed is installed once, until one of these files changes.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.pip
	@echo "Installing videochat[offline] into $(VENV)"
	@$(INSTALL) --editable ".[offline]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.pip
	@echo "Installing videochat[$(EXTRAS)] and its tools into $(VENV)"
	@$(INSTALL) "$(TORCH)"
	@$(INSTALL) --editable ".[$(EXTRAS)]" --group test --group lint
	@touch $@ $(VENV)/.demo

$(VENV)-yolo/.yolo: pyproject.toml constraints.txt | $(VENV)/.pip
	@echo "Installing videochat[yolo] into $(VENV)-yolo"
	@$(PYTHON) -m venv $(VENV)-yolo
	@$(VENV)-yolo/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(VENV)-yolo/bin/python -m pip install --quiet --constraint constraints.txt "$(TORCH)"
	@$(VENV)-yolo/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[yolo]" --group test
	@touch $@

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "videochat needs Python 3.11 or newer, and $(PYTHON) is not; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@
