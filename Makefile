# Each target works on a fresh clone. Without CSV the practice faces are used, which need no file.
#   make train                          make train CSV=path/to/fer2013.csv

PYTHON ?= python3.11
CSV ?=
IMAGE ?=
MODEL ?= checkpoints/fer2013-small/best_model.ckpt
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

.PHONY: help setup train test lint bench soak samples verify predict

help:
	@echo "make setup            a virtual environment in $(VENV) with all that ferspore needs"
	@echo "make train            train on the practice faces, or on CSV=path/to/fer2013.csv"
	@echo "make predict          the emotions of the faces in IMAGE=photo.jpg"
	@echo "make samples          what the model gets right in CSV=path/to/fer2013.csv"
	@echo "make verify           is the model sound? MODEL=best_model.ckpt or a run's folder"
	@echo "make test lint        the tests (under 5 minutes); ruff and mypy"
	@echo "make bench soak       benchmarks; the long proofs (hours)"

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt pyproject.toml
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

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(READY)
	@$(RUN) benchmarks/training.py
	@$(RUN) benchmarks/checkpoint.py
ifneq ($(CSV),)
	@$(RUN) benchmarks/load_csv.py "$(CSV)"
endif

# Long proofs that are not in the suite: 200 kills at random instants, 500 damaged files, 100 stops
# and kills of runs on two devices, and 50,000 random lives of runs (the suite has 1,000).
soak: $(READY)
	@$(RUN) tests/soak.py --kills 200 --damages 500
	@$(RUN) tests/soak_ranks.py --rounds 100
	@FERSPORE_LIVES=50000 $(RUN) -m pytest tests/run/test_model_of_runs.py

verify: $(READY)
	@$(RUN) verify_model.py --ckpt $(MODEL) $(if $(CSV),--csv "$(CSV)")

predict: $(READY)
	@test -n "$(IMAGE)" || { echo "make predict needs IMAGE=path/to/photo.jpg"; exit 2; }
	@$(RUN) tools/predict.py "$(IMAGE)" --ckpt $(MODEL)

samples: $(READY)
	@test -n "$(CSV)" || { echo "make samples needs CSV=path/to/fer2013.csv"; exit 2; }
	@$(RUN) tools/generate_correct_samples.py --csv "$(CSV)" --ckpt $(MODEL) --output samples
