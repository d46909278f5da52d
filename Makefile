# Every target does its own set-up in .venv; `make help` lists them.
# PYTHON=/path/to/python3 chooses the interpreter, ARGS="..." goes to pytest.

VENV := .venv
BIN := $(VENV)/bin/python
PYTHON ?=
ARGS ?=

export VENV PYTHON
export PYTHONNOUSERSITE := 1
export PIP_USER := 0
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo demo-real test lint format types docs look bench mutants interop peers corpora pictures build reproducible sbom clean FORCE

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(VENV)/.base ## See every pattern work, beside its code: real HTTP, a simulated model, no key
	@$(BIN) -m executionkit demo

demo-real: $(VENV)/.base ## The same and more on a small real model (GGUF=path for another; EXECUTIONKIT_BASE_URL for an endpoint)
	@PYTHONPATH=scripts $(BIN) -m demo_real $(ARGS)

test: $(VENV)/.test ## Run the tests (ARGS="-k budget" runs some of them, without coverage)
	@scripts/test $(ARGS)

lint: $(VENV)/.dev ## Check style and formatting
	@scripts/lint

format: $(VENV)/.dev ## Format the code and mend what can be mended
	@scripts/format

types: $(VENV)/.dev ## Check the types with mypy and pyright
	@scripts/types

docs: $(VENV)/.dev ## Build the documentation into site/
	@scripts/docs

look: docs $(VENV)/.look ## Look at every page of the site with a headless Chromium, which must be there
	@$(BIN) scripts/look_at_docs.py $(ARGS)

bench: $(VENV)/.test ## Measure what the library costs
	@for benchmark in benchmarks/*.py; do $(BIN) "$$benchmark" || exit 1; done

mutants: $(VENV)/.mutants ## Plant faults, and count how many the tests notice (ARGS="voting" plants some)
	@$(BIN) scripts/mutants.py $(ARGS)

interop: ## Drive real servers through the library (ARGS="aimock" tries one of them)
	@scripts/interop $(ARGS)

peers: ## Run the code of other libraries in the docs, and check what is said of them (ARGS="openai" takes one)
	@scripts/peers $(ARGS)

corpora: $(VENV)/.base ## Run public test data through the check of schemas (ARGS="bfcl" takes one of the two)
	@PYTHONPATH=scripts $(BIN) -m corpora $(ARGS)

pictures: $(VENV)/.pictures ## Make the pictures of the docs with a headless Chromium (ARGS="progress" makes those of one page)
	@PYTHONPATH=scripts $(BIN) -m pictures $(ARGS)

build: $(VENV)/.dev ## Build the wheel and the source distribution into dist/
	@$(BIN) -m build --outdir dist

reproducible: $(VENV)/.release ## Build both twice, from clones of the last commit, and compare bytes
	@scripts/reproducible

sbom: $(VENV)/.release ## Write the bill of materials of the library with its extras into dist/
	@scripts/sbom

clean: ## Remove everything made here
	rm -rf $(VENV) .interop .peers .corpora build dist site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# The stamps lie in the environment: they go with it, and an edited pyproject.toml outdates them.
$(VENV)/.base: EXTRAS :=
$(VENV)/.test: EXTRAS := httpx,httpx2,aiohttp,mcp,cli,tables,test
$(VENV)/.dev: EXTRAS := dev
$(VENV)/.look: EXTRAS := look
$(VENV)/.mutants: EXTRAS := httpx,httpx2,aiohttp,mcp,cli,test,mutants
$(VENV)/.pictures: EXTRAS := cli,pictures
$(VENV)/.release: EXTRAS := release
$(VENV)/.base $(VENV)/.test $(VENV)/.dev $(VENV)/.look $(VENV)/.mutants $(VENV)/.pictures $(VENV)/.release: $(VENV)/.made-with pyproject.toml
	@scripts/install $(VENV) "$(EXTRAS)"
	@touch $@

$(VENV)/.made-with: FORCE
	@scripts/make-venv $(VENV)

FORCE:
