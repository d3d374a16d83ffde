#!/usr/bin/env bash
# Make an environment with everything that this project needs, by mamba, micromamba or conda, whichever is found first.
#
#   ./scripts/conda_deps.sh [NAME]        (default: faceaging)
#
# Python comes from conda-forge, the packages from requirements.txt by pip: PyTorch is no longer published for conda, and so
# the environment is that of the README. Running it again brings an existing environment up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-faceaging}

tool=
for candidate in mamba micromamba conda; do
  if command -v "$candidate" >/dev/null; then tool=$candidate; break; fi
done
if [ -z "$tool" ]; then
  echo "conda_deps.sh: error: none of mamba, micromamba, conda is on PATH; install Miniforge, or use venv as the README says" >&2
  exit 2
fi

if "$tool" env list | awk '{print $1}' | grep -qxF -- "$name"; then
  echo "== $tool: $name exists, and is brought up to date"
else
  echo "== $tool: making $name"
  "$tool" create -y -n "$name" -c conda-forge python=3.12 pip
fi
echo "== pip: requirements.txt (some minutes, some gigabytes)"
# visdom's source package needs this while it is built; the name of the setting depends on pip's age.
export PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt
"$tool" run -n "$name" python -m pip install --requirement requirements.txt
"$tool" run -n "$name" python -c "import torch; print('torch', torch.__version__, '- CUDA:', torch.cuda.is_available())"
echo "== ready: $tool activate $name"
