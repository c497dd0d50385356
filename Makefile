# `make demo` and `make test` set up all they need (see scripts/setup) and say what they install.
#
#   make demo  ARGS="--device webgpu"    train a char-level GPT that writes Python; its curve in build/char_gpt
#   make chat  ARGS='"Why is the sky blue?"'  a small language model answers; without ARGS, line by line
#   make digits                          train the digit classifier; pictures in build/digits
#   make test  DEVICES=cpu               one device only; no Vulkan driver needed
#   make test  ARGS="tests/expr -k log"  some tests; WORKERS=0 in one process, for a debugger
#   make check                           what CI runs: tests, lint, types, contracts, stubs

DEVICES ?= all
WORKERS ?= 2
ARGS ?=

.PHONY: demo chat digits test check format stubs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

demo:
	@python="$$(bash scripts/setup examples)" && "$$python" -m examples.char_gpt $(ARGS)

chat:
	@python="$$(bash scripts/setup chat)" && "$$python" -m weft.cli chat $(ARGS)

digits:
	@python="$$(bash scripts/setup examples)" && "$$python" -m examples.digits $(ARGS)

test:
	@python="$$(DEVICES='$(DEVICES)' bash scripts/setup test)" && "$$python" -m pytest -n $(WORKERS) --dist loadfile --device='$(DEVICES)' $(ARGS)

check:
	@bash .ci/run

format:
	@python="$$(bash scripts/setup check)" && "$$python" -m ruff check --fix . && "$$python" -m ruff format .

stubs:
	@python="$$(bash scripts/setup check)" && "$$python" scripts/stubs.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
