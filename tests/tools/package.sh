#!/usr/bin/env bash
# Builds the tarball, checks what is in it, installs it into an empty folder and uses it from there.
set -euo pipefail
source .venv/bin/activate
target=$(bash tests/tools/collection_copy.sh)
rm -rf .build/package
mkdir -p .build/package
ansible-galaxy collection build "$target" --output-path .build/package --force
tarball=$(ls .build/package/*.tar.gz)

unwanted=$(tar -tzf "$tarball" | grep -E '^(\./)?(inventories|molecule|tests|examples|\.ci|\.github|Makefile)' || true)
if [ -n "$unwanted" ]; then
    echo "The tarball carries what only the repository needs:" >&2
    echo "$unwanted" >&2
    exit 1
fi

ansible-galaxy collection install "$tarball" --collections-path .build/package/collections --no-deps --offline
export ANSIBLE_COLLECTIONS_PATH=$PWD/.build/package/collections
cd .build/package
for module in collections/ansible_collections/vitalops/rollout/plugins/modules/*.py; do
    ansible-doc --type module "vitalops.rollout.$(basename "$module" .py)" >/dev/null
done
for filter in collections/ansible_collections/vitalops/rollout/plugins/filter/*.py; do
    ansible-doc --type filter "vitalops.rollout.$(basename "$filter" .py)" >/dev/null
done
printf 'all:\n  children:\n    load_balancer: {hosts: {one: }}\n    application: {hosts: {one: }}\n    postgres: {hosts: {one: }}\n    redis: {hosts: {one: }}\n' >hosts.yml
for verb in provision deploy roll_back status site; do
    echo "vitalops.rollout.$verb"
    ansible-playbook --syntax-check -i hosts.yml "vitalops.rollout.$verb" >/dev/null
done
ls -l ./*.tar.gz
