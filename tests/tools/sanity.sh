#!/usr/bin/env bash
# ansible-test sanity on a copy of the collection, in the toolchain's virtual environment.
set -euo pipefail
source .venv/bin/activate
target=$(bash tests/tools/collection_copy.sh)
# ansible-test keeps its results and caches in the home folder: it gets one inside the checkout.
mkdir -p .cache/home/.ansible/test/cache
# It would download a bootstrap script for pip; the one that comes with Python does.
echo 'import ensurepip; ensurepip.bootstrap()' >.cache/home/.ansible/test/cache/get_pip_24_2.py
export HOME=$PWD/.cache/home
unset ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH
cd "$target"
git init --quiet
git add --all
python_version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test sanity --python "$python_version" --requirements --color no
