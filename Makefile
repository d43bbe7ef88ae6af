# make demo              set up, then knock on the photos that ship with the project: out/knock.wav, out/knock.png
# make demo PHOTO=a.jpg  the same on your photo (AT=0.4,0.6 says where)
# make app               set up, and open the app: a photo in the browser to touch, knock on and walk through
# make test              set up, then lint, types, layers and tests
#
# TORCH_INDEX=URL takes torch from another source, PIP_INDEX_URL=URL everything else.
# Written for GNU make 3.81 and any POSIX sh.

VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: app demo test
.DELETE_ON_ERROR:

demo: $(VENV)/package.stamp
	$(BIN)/synesthesia demo $(if $(PHOTO),"$(PHOTO)") $(if $(AT),--at "$(AT)")

app: $(VENV)/app.stamp
	$(BIN)/synesthesia app $(if $(PORT),--port "$(PORT)")

test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check --python $(VENV)
	$(BIN)/lint-imports
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# A python on PATH may be a stub that fails or a system Python without venv: try before trusting.
$(VENV)/python.stamp:
	@for p in python3.13 python3.12 python3.11 python3 python; do \
	    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    if "$$p" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	        echo "Setting up $(VENV) with $$p"; \
	        "$$p" -m venv $(VENV) && touch $@; exit $$?; \
	    fi; \
	    bare="$${bare:-$$p}"; \
	done; \
	if [ -n "$$bare" ]; then \
	    v=`"$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'`; \
	    echo "Python $$v lacks the venv module; type: sudo apt install python$$v-venv" >&2; \
	else \
	    echo "No Python 3.11 or newer was found; type: sudo apt install python3 python3-venv (macOS: brew install python@3.13)" >&2; \
	fi; \
	exit 1

# Torch first and alone, so that TORCH_INDEX serves nothing else.
$(VENV)/torch.stamp: $(VENV)/python.stamp
	$(PIP) install $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") `grep '^torch==' constraints.txt`
	@touch $@

$(VENV)/package.stamp: $(VENV)/torch.stamp pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/app.stamp: $(VENV)/package.stamp
	$(PIP) install -c constraints.txt -e '.[app]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/package.stamp Makefile
	$(PIP) install -c constraints.txt -e '.[dev,app,walk,worlds,video]'
	@touch $@
