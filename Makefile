# The one door for people and CI. Each target makes .venv if it is missing and installs what it needs.
PYTHON ?= python3
VENV ?= .venv
INSTALL ?= yes
BIN = $(abspath $(VENV))/bin

.PHONY: demo test test-all integration lint types docs pictures bench sanitize fuzz reliability release-check clean

demo: install-cli           ## the main job on real input
	$(BIN)/procshare demo

test: install-test          ## the whole test suite, on all processors where root may mount a /dev/shm for each
	$(BIN)/pytest -n auto

test-all:                   ## the suite on every supported Python that pyenv has
	for v in 3.11 3.12 3.13; do $(MAKE) test VENV=.venv-$$v PYTHON="$$(.ci/python $$v)" || exit 1; done

integration: install-test,integration ## examples/ under real servers, pools and kernels; with torch after install-integration-torch
	$(BIN)/pytest tests/integration

lint: install-lint          ## style of the Python code
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

STUBTEST = stubtest procshare._native procshare._native_faults --ignore-disjoint-bases --allowlist typing_tests/stubtest.txt
types: install-test         ## both type checkers, the core against its stub, and how much of the public interface is typed
	export PATH="$(BIN):$$PATH"; mypy && $(STUBTEST) && basedpyright && cd / && basedpyright --verifytypes procshare --ignoreexternal

docs: install-docs          ## the documentation, as HTML in site/; a warning is an error
	$(BIN)/sphinx-build -q -n -W -b html docs site

pictures: install-cli       ## the pictures of the command line in the documentation, taken anew
	$(BIN)/python docs/pictures.py

bench: install-bench        ## all tables and drawings of README and docs/benchmarks.md, measured anew: ten minutes
	$(BIN)/python benchmarks/pages.py

sanitize:                   ## the tests on cores built with ASan and UBSan, with TSan, with LSan
	.ci/sanitize

fuzz:                       ## the C parsers, guided by coverage; needs clang
	.ci/fuzz

reliability: install-bench install-test ## all that docs/reliability.md shows, run anew: three hours
	.ci/reliability

release-check:              ## sdist and wheel, built, installed away from the sources and tried; ARGS=--whole for all tests
	.ci/release $(ARGS)

clean:                      ## all that can be made again
	rm -rf .venv .venv-* build site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

install-%: $(BIN)/python
	[ "$(INSTALL)" = no ] || rm -rf build
	[ "$(INSTALL)" = no ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check '.[$*]'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
