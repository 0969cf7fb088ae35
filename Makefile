# make demo: everything from nothing to a map; make test: the tests; make check: style and types.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

PEERS := .venv-peers

.PHONY: demo test check bench bench-peers soak clean

demo: $(STAMP)
	$(BIN)/swath demo --out demo --overwrite

test: $(STAMP)
	$(BIN)/python -m pytest -q

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)
	for script in $$(grep -l __main__ benchmarks/*.py | grep -v peer_); do $(BIN)/python $$script || exit 1; done

bench-peers: $(STAMP) $(PEERS)/.installed
	for script in loading sampling; do $(BIN)/python benchmarks/$$script.py || exit 1; done

# torchgeo beside the project, not in it: it sees the project's packages and brings what it lacks
$(PEERS)/.installed: $(STAMP)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
		"$$($(PEERS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torchgeo
	touch $@

soak: $(STAMP)
	$(BIN)/python -m pytest -q -m soak

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(PEERS) build dist src/*.egg-info
