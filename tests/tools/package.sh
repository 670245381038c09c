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

# Only what was installed counts: the link to this checkout must not answer for it.
export ANSIBLE_COLLECTIONS_PATH=$PWD/.build/package/collections
unset ANSIBLE_CONFIG
ansible-galaxy collection install "$tarball" --collections-path "$ANSIBLE_COLLECTIONS_PATH" --no-deps --offline
cd .build/package
for kind in module filter; do
    folder=collections/ansible_collections/vitalops/rollout/plugins/$kind
    [ "$kind" = filter ] || folder=${folder}s
    names=$(find "$folder" -name '*.py' ! -name '__init__.py' -printf 'vitalops.rollout.%f\n' | sed 's/\.py$//')
    # shellcheck disable=SC2086 # one argument a name
    ansible-doc --type "$kind" $names >/dev/null
    echo "$names"
done
printf 'all:\n  children:\n    load_balancer: {hosts: {one: }}\n    application: {hosts: {one: }}\n    postgres: {hosts: {one: }}\n    redis: {hosts: {one: }}\n' >hosts.yml
for verb in provision deploy roll_back status site; do
    echo "vitalops.rollout.$verb"
    ansible-playbook --syntax-check -i hosts.yml "vitalops.rollout.$verb" >/dev/null
done
ls -l ./*.tar.gz
