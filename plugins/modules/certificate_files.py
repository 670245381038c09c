#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module certificate_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_files
short_description: Put a certificate and its key where a service finds them
version_added: "0.1.0"
description:
  - Checks the certificate, its chain and its key before any file changes, then replaces all files in one step.
  - A service that starts at any moment, also after a kill in the middle, finds a certificate and a key that match.
  - The files are F(<folder>/<name>.crt), F(.key), F(.ca), and with O(combined) F(.pem).
author: The vitalops.rollout maintainers (@vitalops)
requirements:
  - cryptography 38 or newer (C(python3-cryptography))
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  folder:
    description: Where the files go. The folder is made when it is missing.
    type: path
    required: true
  name:
    description: Name of the files, without ending.
    type: str
    required: true
  owner:
    description: User that owns the files.
    type: str
    default: root
  group:
    description: Group that owns the files, and may read the key.
    type: str
    default: root
  chain:
    description: Certificates in PEM format, the one of the service first.
    type: str
  chain_path:
    description: File on the host that holds them instead.
    type: path
  key:
    description: The private key in PEM format.
    type: str
  key_path:
    description: File on the host that holds it instead.
    type: path
  authority:
    description: Certificates, in PEM format, of who issued the chain; without them, the last one of the chain counts.
    type: str
    default: ""
  authority_path:
    description: File on the host that holds them instead.
    type: path
  names:
    description: DNS names and IP addresses that the certificate must be about.
    type: list
    elements: str
    default: []
  least_days:
    description: Days for which every certificate of the chain must still be good.
    type: int
    default: 14
  combined:
    description: Also write one file with chain and key, as HAProxy reads it.
    type: bool
    default: false
  staged:
    description:
      - Only write the files beside those that the service finds, for its own module, which tries them first.
      - Until then it is changed at every run.
    type: bool
    default: false
notes:
  - In check mode a O(chain_path), O(key_path) or O(authority_path) that does not exist yet counts as a change, and so
    does what O(chain_path) holds when it would be refused. Whoever makes that file makes it anew before.
"""

EXAMPLES = r"""
---
- name: HAProxy has its certificate
  vitalops.rollout.certificate_files:
    folder: /etc/haproxy/certificates
    name: shop
    chain: "{{ shop_certificate }}"
    key: "{{ shop_key }}"
    names: [shop.example.com]
    combined: true
  no_log: true
"""

RETURN = r"""
changed:
  description: Whether a file changed, so that a service must read it again.
  returned: always
  type: bool
files:
  description: The path of each file by its ending, without the dot.
  returned: success
  type: dict
  sample: {"crt": "/etc/haproxy/certificates/shop.crt", "key": "/etc/haproxy/certificates/shop.key"}
folder:
  description: The folder that holds this version of the files.
  returned: success
  type: str
  sample: /etc/haproxy/certificates/.shop/2f0c6f3f1c1f4a6e
certificate:
  description: Subject, issuer, names, end (UTC) and SHA-256 fingerprint of the service's certificate.
  returned: when there is one to look at
  type: dict
  sample: {"subject": "CN=shop.example.com", "not_after": "2027-01-31T22:10:05+00:00"}
"""

import datetime
import grp
import pwd
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._certificates import check, files, pem
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module

ARGUMENTS: dict[str, t.Any] = {
    "folder": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "chain": {"type": "str"},
    "chain_path": {"type": "path"},
    "key": {"type": "str", "no_log": True},
    "key_path": {"type": "path", "no_log": False},
    "authority": {"type": "str", "default": ""},
    "authority_path": {"type": "path"},
    "names": {"type": "list", "elements": "str", "default": []},
    "least_days": {"type": "int", "default": 14},
    "combined": {"type": "bool", "default": False},
    "staged": {"type": "bool", "default": False},
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def main() -> None:
    run_module(
        ARGUMENTS,
        put,
        required_one_of=[("chain", "chain_path"), ("key", "key_path")],
        mutually_exclusive=[("chain", "chain_path"), ("key", "key_path")],
    )


def put(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what RETURN says. Raises RolloutError before anything changed."""
    told = module.params
    if not _NAME.fullmatch(told["name"]):
        raise BadInput(
            "The name of a certificate is part of a path.", expected="letters, digits, _ . -", found=told["name"]
        )
    texts = [_text(told, name, missing_is_fine=module.check_mode) for name in ("chain", "key", "authority")]
    if None in texts:
        return {"changed": True}
    material = check.Material(*t.cast("list[str]", texts))
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        certificates = check.check(material, check.Wanted(told["names"], told["least_days"]), now, told["name"])
    except BadInput:
        if module.check_mode and told["chain_path"]:
            return {"changed": True}
        raise
    place = files.Place(told["folder"], told["name"], *_owners(told["owner"], told["group"], module.check_mode))
    authority = material.authority.strip() or certificates[-1].text
    wanted = files.contents(material.chain, material.key, authority, combined=told["combined"])
    before = _seen(place)
    changed = bool(files.differs(place, wanted, owned=not module.check_mode))
    if changed and not module.check_mode:
        (files.stage if told["staged"] else files.publish)(place, wanted)
    after = _described(certificates[0])
    return {
        "changed": changed,
        "files": {ending[1:]: place.path(ending) for ending in wanted},
        "folder": files.version(place, wanted),
        "certificate": after,
        "diff": {"before": before, "after": after},
    }


def _text(told: dict[str, t.Any], name: str, *, missing_is_fine: bool) -> str | None:
    """Returns the text, given or read from the host; None in check mode when there is no such file yet."""
    path = told[f"{name}_path"]
    if path is None:
        return str(told[name])
    text = durable.read_text(path)
    if text is None and not missing_is_fine:
        raise NotFound(f"The {name} of {told['name']} is not on the host.", expected="a file in PEM format", where=path)
    return text


def _owners(owner: str, group: str, missing_is_fine: bool) -> tuple[int, int]:
    """Returns the ids; in check mode the package that brings the user may not be there yet."""
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        if missing_is_fine:
            return 0, 0
        raise NotFound(
            "The owner of the certificate does not exist on the host.",
            expected=f"user {owner} and group {group}",
            found=str(error.args[0]),
            next_step="install the service first, or correct certificate_owner and certificate_group",
        ) from error


def _seen(place: files.Place) -> dict[str, t.Any]:
    """Returns what the service has now, nothing when it has none that can be read."""
    path = place.path(".crt")
    try:
        return _described(pem.certificates(durable.read_text(path) or "", path)[0])
    except BadInput:
        return {}


def _described(one: pem.Certificate) -> dict[str, t.Any]:
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "names": one.names,
        "not_after": one.not_after.isoformat(),
        "fingerprint": one.fingerprint,
    }


if __name__ == "__main__":
    main()
