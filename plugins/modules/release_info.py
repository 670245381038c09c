#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module release_info: which release a version is, by digest and configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
version_added: "0.1.0"
short_description: Tell which release a version is
description:
  - Asks the registry which digest a version has now; the release id follows from digest, configuration and secrets.
  - Fails with the versions that are there when the registry does not have it.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.processes
  - vitalops.rollout.attributes
  - vitalops.rollout.attributes.info
requirements:
  - skopeo, for O(runtime=docker)
options:
  application:
    description: Name of the application.
    type: str
    required: true
  version:
    description: The version. Under docker, the tag.
    type: str
    required: true
  runtime:
    description: What runs the application.
    type: str
    required: true
    choices: [docker, systemd]
  artefact:
    description:
      - Under docker, the image repository without a tag.
      - Under systemd, the https URL of a tar file, with C({version}) in it; its digest lies beside it as C(.sha256).
    type: str
    required: true
  processes:
    description: The processes of the application; part of its configuration.
    required: true
  environment:
    description: Plain environment variables; part of the configuration.
    type: dict
    default: {}
  secrets:
    description:
      - Secret environment variables; part of the configuration, and shown nowhere.
      - Each has 6 characters or more (or none), and is no part of the release's id, version, digest or artefact,
        because Ansible masks it wherever it occurs.
    type: dict
    default: {}
notes:
  - Uses the accounts in F(/root/.docker/config.json) and the authorities in F(/etc/docker/certs.d) of the host.
seealso:
  - module: vitalops.rollout.slot_release
"""

EXAMPLES = r"""
- name: Release is known by its digest
  vitalops.rollout.release_info:
    application: shop
    version: 1.1.0
    runtime: docker
    artefact: registry.example.net/shop
    processes:
      - name: web
        kind: web
        command: [web]
        container_port: 8000
    environment:
      LOG_LEVEL: info
    secrets:
      DATABASE_URL: "{{ shop_database_url }}"
  register: shop_release
"""

RETURN = r"""
release:
  description: The release, as O(vitalops.rollout.slot_release#module:release) takes it.
  returned: success
  type: dict
  contains:
    id:
      description: Version and 12 hexadecimal digits over digest, configuration and secrets.
      type: str
      returned: success
    version:
      description: The version that was asked for.
      type: str
      returned: success
    digest:
      description: SHA-256 of the image manifest or of the file.
      type: str
      returned: success
    artefact:
      description: Image repository, or URL of the file.
      type: str
      returned: success
  sample:
    id: 1.1.0-3f9c21ab77d0
    version: 1.1.0
    digest: sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730
    artefact: registry.example.net/shop
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import names
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition, registry
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths


def tell(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns the release of the version that was asked for."""
    wanted = module.params
    application = names.check_application(wanted["application"])
    version = definition.check_version(wanted["version"])
    processes = definition.processes_from(wanted["processes"], runtime=wanted["runtime"])
    variables = definition.text_variables(wanted["environment"]), definition.text_variables(wanted["secrets"])
    definition.check_variables(*variables)
    paths = Paths(application)
    artefact = wanted["artefact"].replace("{version}", version)
    definition.check_secrets(variables[1], {"version": version, "artefact": artefact})
    if wanted["runtime"] == "docker":
        digest = registry.image_digest(paths, artefact, version)
    else:
        digest = registry.file_digest(paths, artefact, version)
    release_id = definition.release_id(
        application=application,
        version=version,
        digest=digest,
        runtime=wanted["runtime"],
        processes=processes,
        environment=variables[0],
        secrets=variables[1],
    )
    release = {"id": release_id, "version": version, "digest": digest, "artefact": artefact}
    definition.check_secrets(variables[1], release)
    return {"changed": False, "release": release}


def main() -> None:
    """Entry point of the module."""
    run_module(
        {
            "application": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "runtime": {"type": "str", "required": True, "choices": list(definition.RUNTIMES)},
            "artefact": {"type": "str", "required": True},
            "processes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": definition.PROCESS_OPTIONS,
            },
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        tell,
    )


if __name__ == "__main__":
    main()
