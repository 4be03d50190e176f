# Each target works on a fresh clone. Without CSV the practice faces are used, which need no file.
#   make train                          make train CSV=path/to/fer2013.csv

PYTHON ?= python3.11
CSV ?=
IMAGE ?=
DEVICE ?= CPU
CHROMIUM ?= chromium
PART ?=
READER ?=
MODEL ?= checkpoints/fer2013-small/best_model.ckpt
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
PAGE := src/ferspore/demo
PAGE_READY := $(PAGE)/node_modules/.package-lock.json

.PHONY: help setup train test test-page lint bench soak fuzz crash-states failing-calls samples \
  verify predict demo device-check precision-proof

help:
	@echo "make setup            a virtual environment in $(VENV) with all that ferspore needs"
	@echo "make train            train on the practice faces, or on CSV=path/to/fer2013.csv"
	@echo "make predict          the emotions of the faces in IMAGE=photo.jpg"
	@echo "make demo             the model in your browser: camera, images, videos"
	@echo "make samples          what the model gets right in CSV=path/to/fer2013.csv"
	@echo "make verify           is the model sound? MODEL=best_model.ckpt or a run's folder"
	@echo "make test lint        the tests (under 5 minutes); ruff and mypy"
	@echo "make test-page        the page of make demo in Chromium"
	@echo "make bench            benchmarks"
	@echo "make device-check     does DEVICE=Ascend compute what it should? One page (5 minutes)"
	@echo "make precision-proof  is float16 as accurate as float32? Two runs (minutes)"
	@echo "make crash-states     every state that a power cut can leave (minutes)"
	@echo "make failing-calls    every call to the file system fails once (minutes)"
	@echo "make soak fuzz        the long proofs (hours); PART=kills, READER=csv for one of their parts"

setup: $(READY)

$(READY): requirements.txt requirements-export.txt requirements-dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) is missing. On Debian: apt-get install python3.11 (or name another: make PYTHON=python3.12)"; exit 2; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make a virtual environment. On Debian: apt-get install python3.11-venv"; exit 2; }
	@echo "setting up $(VENV) (about two minutes, once)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -e .
	@touch $@

# The two kinds of run have names of their own; --resume starts a run where there is none.
train: $(READY)
ifeq ($(CSV),)
	@$(RUN) src/train.py --config configs/practice.yaml --resume
else
	@$(RUN) src/train.py --config configs/default.yaml --data_csv "$(CSV)" --resume
endif

test: $(READY)
	@$(RUN) -m pytest -n 2 --dist worksteal

# The page of `make demo` in a real browser, which the suite does without.
test-page: $(READY) $(PAGE_READY)
	@command -v $(CHROMIUM) >/dev/null || { \
	  echo "make: $(CHROMIUM) is missing. On Debian: apt-get install chromium (or name another: make test-page CHROMIUM=google-chrome)"; exit 2; }
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r tests/page/requirements.txt
	@CHROMIUM="$$(command -v $(CHROMIUM))" $(RUN) -m pytest tests/page/check_*.py

$(PAGE_READY): $(PAGE)/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "make: npm is missing, which installs what the page runs on. On Debian: apt-get install npm"; exit 2; }
	@npm ci --prefix $(PAGE) --ignore-scripts --no-audit --no-fund --loglevel error

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(READY)
	@$(RUN) benchmarks/training.py
	@$(RUN) benchmarks/host.py
	@$(RUN) benchmarks/checkpoint.py
	@$(RUN) benchmarks/inference.py $(if $(CSV),--csv "$(CSV)")
ifneq ($(CSV),)
	@$(RUN) benchmarks/load_csv.py "$(CSV)"
endif

# Long proofs that are not in the suite (docs/reliability.md has their last results): 1,000 kills at
# random instants, 10,000 damaged files, 500 epochs, 100,000 hostile files for each reader, and
# 50,000 random lives of runs (the suite has 300), and 100 stops and kills of runs on two devices.
#   make soak PART=kills              make fuzz READER=csv
soak: $(READY)
	@$(RUN) tests/soak.py --kills 1000 --damages 10000 --record $(if $(PART),--part $(PART))
ifeq ($(PART),)
	@$(RUN) tests/soak_ranks.py --rounds 100
	@FERSPORE_LIVES=50000 $(RUN) -m pytest tests/run/test_model_of_runs.py
endif

fuzz: $(READY)
	@$(RUN) -m pip install --quiet --disable-pip-version-check "atheris>=3,<4"
	@$(RUN) tests/fuzz_readers.py $(READER) --inputs 100000 --record

device-check: $(READY)
	@$(RUN) -m tests.device_check --device $(DEVICE)

precision-proof: $(READY)
	@$(RUN) -m tests.precision_proof

# Every state that a power cut can leave, and every call that can fail: docs/reliability.md.
crash-states: $(READY)
	@$(RUN) -m tests.crash.trace
	@$(RUN) -m tests.crash_states

failing-calls: $(READY)
	@$(RUN) -m tests.failing_calls

verify: $(READY)
	@$(RUN) verify_model.py --ckpt $(MODEL) $(if $(CSV),--csv "$(CSV)")

predict: $(READY)
	@test -n "$(IMAGE)" || { echo "make predict needs IMAGE=path/to/photo.jpg"; exit 2; }
	@$(RUN) tools/predict.py "$(IMAGE)" --ckpt $(MODEL)

demo: $(READY) $(PAGE_READY)
	@$(RUN) tools/demo.py --ckpt $(MODEL)

samples: $(READY)
	@test -n "$(CSV)" || { echo "make samples needs CSV=path/to/fer2013.csv"; exit 2; }
	@$(RUN) tools/generate_correct_samples.py --csv "$(CSV)" --ckpt $(MODEL) --output samples
