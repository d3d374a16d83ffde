#!/usr/bin/env bash
# Unpack the archives in datasets/ into datasets/young2old/{trainA,trainB,testA,testB}.
#
#   ./scripts/unzip_datasets.sh [ARCHIVE ...]
#
# A is young, B is old. Archives may be .zip, .tar, .tar.gz or .tgz files, with the four folders at any depth. Nothing is
# written outside datasets/young2old, and existing photos are not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python
exec "$python" scripts/unzip_datasets.py "$@"
