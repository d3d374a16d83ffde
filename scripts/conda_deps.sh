#!/usr/bin/env bash
# Create an environment with all requirements of this project by mamba, micromamba or conda, whichever is found first.
#
#   ./scripts/conda_deps.sh [NAME]        (default: faceaging)
#
# Python is installed from conda-forge, and the packages in requirements.txt by pip, because PyTorch is no longer published
# for conda. The environment is therefore the same as that of the README. Running the script again updates the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-faceaging}

tool=
for candidate in mamba micromamba conda; do
  if command -v "$candidate" >/dev/null; then tool=$candidate; break; fi
done
if [ -z "$tool" ]; then
  echo "conda_deps.sh: error: mamba, micromamba and conda are not on PATH; install Miniforge, or use venv as described in the README" >&2
  exit 2
fi

if "$tool" env list | awk '{print $1}' | grep -qxF -- "$name"; then
  echo "== $tool: updating the environment $name"
else
  echo "== $tool: creating the environment $name"
  "$tool" create -y -n "$name" -c conda-forge python=3.12 pip
fi
echo "== pip: installing requirements.txt (this takes several minutes and gigabytes)"
# visdom's source package needs these constraints to build. The name of the variable depends on the version of pip.
export PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt
"$tool" run -n "$name" python -m pip install --requirement requirements.txt
"$tool" run -n "$name" python -c "import torch; print('torch', torch.__version__, '- CUDA:', torch.cuda.is_available())"
echo "== ready; activate it with: $tool activate $name"
