#!/usr/bin/env bash
# Copies what git knows (and the new files it does not ignore) to .build/ansible_collections/vitalops/rollout:
# ansible-test and ansible-galaxy want a real folder of that name, a link will not do. Prints the folder.
set -euo pipefail
target=$PWD/.build/ansible_collections/vitalops/rollout
rm -rf "$target"
mkdir -p "$target"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --null --files-from=- --create | tar --extract --directory "$target"
echo "$target"
