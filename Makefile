# Everything runs in .venv, pinned by constraints.txt. PYTHON names the interpreter (3.11).
PYTHON ?= python3
BIN := .venv/bin
EDGE := .venv-edge/bin
# Idle OpenMP threads sleep; two spinning threads on a busy core are up to a hundred times slower than one.
export OMP_WAIT_POLICY ?= PASSIVE
# uv installs in seconds what takes pip minutes and reads none of pip's settings: what pip was told is passed on to it.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
export UV_DEFAULT_INDEX := $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL),https://pypi.org/simple)
export UV_SYSTEM_CERTS := 1
INSTALL := .venv/bin/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt
INSTALL_EDGE := .venv/bin/uv pip install --quiet --compile-bytecode --python $(EDGE)/python -c constraints-edge.txt

.PHONY: demo edge test test-all lint docs coverage bench licences clean

demo: .venv/.installed
	rm -rf demo
	$(BIN)/einthoven synthesize demo/corpus --records 1500
	$(BIN)/einthoven prepare ptb-xl demo/corpus demo/dataset
	$(BIN)/einthoven train recipes/demo.yaml --runs demo/runs
	$(BIN)/einthoven evaluate demo/runs/demo/001 --split test
	@echo "Record 1 is labelled (column scp_codes):"
	grep -m 1 "^1," demo/corpus/ptbxl_database.csv
	$(BIN)/einthoven predict demo/runs/demo/001 demo/corpus/records100/00000/00001_lr.hea
	$(BIN)/einthoven predict ptbxl-superdiagnostic demo/corpus/records100/00000/00001_lr.hea

test: .venv/.installed-dev .venv/.browser
	$(BIN)/python -m pytest -m "not slow" -n $${EINTHOVEN_TEST_WORKERS:-2}

test-all: .venv/.installed-dev .venv/.browser .venv-edge/.installed
	$(BIN)/python -m pytest -n $${EINTHOVEN_TEST_WORKERS:-2}
	$(EDGE)/python -m pytest -m edge tests/edge/test_edge_formats.py

edge: .venv-edge/.installed

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.installed-docs
	$(BIN)/mkdocs build --strict

# Branch coverage as HTML in htmlcov/, of all fast tests or of one room: make coverage ROOM=metrics
coverage: .venv/.installed-dev
	$(BIN)/python -m pytest -m "not slow" tests/$(ROOM) --cov=$(if $(ROOM),einthoven.$(ROOM),einthoven) --cov-branch \
		--cov-report=html --cov-report=term:skip-covered

# The benchmarks that need no corpus and take minutes; figures go to benchmarks/results/, git shows what changed.
bench: .venv/.installed-dev
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/metrics.py 100000 20000
	$(BIN)/python benchmarks/splits.py
	$(BIN)/python benchmarks/augmentation.py 3
	$(BIN)/einthoven bench ptbxl-superdiagnostic --rounds 3

licences: .venv/.installed-dev
	$(BIN)/python scripts/licences.py

clean:
	rm -rf .venv .venv-edge build dist site htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/bin/uv: .venv/bin/python constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	touch $@

# torch first: an unpinned torch brings gigabytes of CUDA libraries.
.venv/.torch: .venv/bin/uv constraints.txt
	$(INSTALL) torch==2.13.0
	touch $@

.venv/.installed: .venv/.torch pyproject.toml
	$(INSTALL) -e ".[train,report]"
	touch $@

.venv/.installed-dev: .venv/.torch pyproject.toml
	$(INSTALL) -e ".[dev]"
	touch $@ .venv/.installed

# LiteRT, OpenVINO and ExecuTorch contradict the pins of everything else.
.venv-edge/.installed: .venv/bin/uv constraints-edge.txt pyproject.toml
	$(BIN)/python -m venv .venv-edge
	$(INSTALL_EDGE) torch==2.13.0
	$(INSTALL_EDGE) -e ".[edge]" pytest pytest-timeout
	$(EDGE)/python -m pip check
	touch $@

# The tests of the web page need Chromium, and npm once: what is missing comes from apt-get where root calls, else Chromium
# from Playwright. Where neither can be had, those tests are skipped by name.
.venv/.browser: .venv/.installed-dev
	@missing=""; \
	{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || missing=chromium; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if [ -z "$$missing" ]; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; then touch $@; \
	elif [ "$$missing" != " npm" ] && $(BIN)/playwright install chromium; then touch $@; \
	else echo "not found and not installed:$$missing; tests of the web page that need it are skipped"; fi

.venv/.installed-docs: .venv/.installed-dev
	$(INSTALL) -e ".[docs]"
	touch $@
