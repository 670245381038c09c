#!/usr/bin/env bash
# Builds the virtual environment with the pinned toolchain, and makes this checkout the only copy of the collection.
set -euo pipefail
python=$1
venv=$2

"$python" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed on the controller, found %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends python3-venv
    else
        echo "Python's module venv is missing: install the package python3-venv, then run this again." >&2
        exit 1
    fi
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet "uv==0.13.9"
"$venv/bin/uv" pip install --python "$venv/bin/python" --requirement requirements.txt

# A link, so that what is run is what is edited. ansible.cfg looks here before anywhere else.
mkdir -p "$venv/collections/ansible_collections/vitalops"
ln -sfn "$PWD" "$venv/collections/ansible_collections/vitalops/rollout"
touch "$venv/ready"
