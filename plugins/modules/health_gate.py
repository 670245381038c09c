#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module health_gate: passes when every target gave good answers in a row before a deadline."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_gate
version_added: "0.1.0"
short_description: Pass only when HTTP targets answer well several times in a row
description:
  - Samples all targets at the same time from the host it runs on, until each one gave O(consecutive) good answers in a
    row or O(deadline) is over. One call takes the whole list; the waiting happens inside.
  - A good answer has the status O(status), a body for which O(body) is true, and is complete within O(timeout).
  - Every sample uses a connection of its own. Redirects are not followed, proxy settings are not used.
  - A gate passes only on positive evidence. It fails the task when any target has a verdict other than V(pass).
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
attributes:
  check_mode:
    support: partial
    description: Says what parameters a real run would refuse, and fails nothing.
    details: Samples nothing and returns RV(verdict=no_data), which is never a pass.
  diff_mode:
    support: none
    description: There is no change to show.
requirements:
  - jmespath on the host it runs on when O(body) is used (Debian package python3-jmespath)
options:
  targets:
    description: What to sample, at least one.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What messages call the target, for example the name of an instance. Each name appears once.
        type: str
        required: true
      url:
        description: The address, with scheme V(http) or V(https) and without user and password.
        type: str
        required: true
      headers:
        description: Headers for this target only. They win over O(headers).
        type: dict
        default: {}
  status:
    description: The status of a good answer.
    type: int
    default: 200
  body:
    description:
      - A JMESPath expression over the JSON body. An answer is good only when it gives exactly V(true); V(null), a
        string or a number is not.
      - Empty means that the body is not looked at.
    type: str
    default: ""
  consecutive:
    description: How many good answers in a row a target needs.
    type: int
    default: 3
  interval:
    description: Seconds from the start of one sample of a target to the start of the next.
    type: float
    default: 0.5
  timeout:
    description: Seconds within which an answer must be complete, name resolution and TLS included.
    type: float
    default: 5
  deadline:
    description: Seconds within which all targets must pass.
    type: float
    default: 60
  method:
    description: The HTTP method.
    type: str
    choices: [GET, HEAD, POST, OPTIONS]
    default: GET
  headers:
    description: Headers of every request. Put nothing secret here.
    type: dict
    default: {}
  secret_headers:
    description: Headers of every request that carry secrets. They win over O(headers) and are never shown.
    type: dict
    default: {}
  masked:
    description:
      - Values that must never show, such as the secrets of the application, should an answer repeat one.
      - Ansible replaces them in the result and in the message by asterisks, as it does with every secret parameter.
      - The filter P(vitalops.rollout.secret_values#filter) lists them.
    type: list
    elements: str
    default: []
  host_header:
    description:
      - The host to ask for when it is not the one in the address, for example to reach a site through one load
        balancer.
      - It also is the name that TLS asks for and verifies.
    type: str
  validate_certs:
    description: Whether the certificate of an V(https) target must be valid.
    type: bool
    default: true
  ca_path:
    description: A file on the host with the certificate authorities to trust (PEM). Default is the system's own.
    type: path
seealso:
  - name: JMESPath specification
    description: The language of O(body).
    link: https://jmespath.org/specification.html
"""

EXAMPLES = r"""
- name: Idle slot answers ready on every instance
  vitalops.rollout.health_gate:
    targets:
      - name: reference-green-web-1
        url: http://10.0.0.11:18100/ready
      - name: reference-green-web-2
        url: http://10.0.0.11:18101/ready
    body: status == 'ready'
    consecutive: 3
    deadline: 60

- name: Load balancer serves release 1.1.0
  vitalops.rollout.health_gate:
    targets:
      - name: lb1
        url: https://127.0.0.1/version
    host_header: shop.example.com
    body: version == '1.1.0'
    secret_headers:
      Authorization: "Bearer {{ rollout_probe_token }}"
"""

RETURN = r"""
verdict:
  description:
    - The worst verdict of all targets, from best to worst V(pass), V(inconclusive), V(no_data), V(error), V(fail).
    - V(pass) means that O(consecutive) good answers in a row were seen. V(fail) means that they were not, and bad
      answers (or none within O(timeout)) were. V(inconclusive) means only good answers, but too few before the
      deadline. V(no_data) means that nothing could be judged. V(error) means that the sampling itself broke.
  returned: always, except when the parameters cannot be used
  type: str
  sample: pass
targets:
  description: What was seen of each target, in the order of O(targets).
  returned: always, except when the parameters cannot be used
  type: list
  elements: dict
  contains:
    name:
      description: Name of the target.
      type: str
      sample: reference-green-web-1
    url:
      description: Address of the target.
      type: str
      sample: http://10.0.0.11:18100/ready
    verdict:
      description: As RV(verdict), for this target.
      type: str
      sample: pass
    samples:
      description: How many samples were taken.
      type: int
      sample: 4
    good:
      description: How many of them were good.
      type: int
      sample: 3
    consecutive:
      description: Good answers in a row at the end.
      type: int
      sample: 3
    consecutive_longest:
      description: Good answers in a row in the longest run.
      type: int
      sample: 3
    elapsed:
      description: Seconds until the target passed, or until the deadline.
      type: float
      sample: 1.52
    last_status:
      description: Status of the last sample, none without an answer.
      type: int
      sample: 200
    last_error:
      description: Why the last sample was not good, none when it was.
      type: str
      sample: status 503 instead of 200
    last_headers:
      description:
        - Of a last answer that was not good, the headers that help a person and are known to hold no secret, such as
          Retry-After; of a Location all before its query.
      type: list
      elements: str
      sample: ["Content-Type: application/json", "Retry-After: 5"]
    last_body:
      description: The first 300 characters of the body of the last answer, on one line.
      type: str
      sample: '{"status": "ready"}'
    latency_ms:
      description: Milliseconds until an answer was complete, median (p50) and maximum (max) over all answers.
      type: dict
      sample: {"p50": 3.1, "max": 12.5}
    first_failure:
      description:
        - The first bad sample with its seconds after the start (after), status, error, headers and body; or none.
      type: dict
      sample: {"after": 0.0, "status": 503, "error": "status 503 instead of 200", "headers": [], "body": "starting"}
summary:
  description: One line for a person about each target, numbers next to limits.
  returned: always, except when the parameters cannot be used
  type: list
  elements: str
  sample:
    - "web-1: pass: 3 of 3 good in a row; 3 of 4 samples good; 1.5 of 60 s; p50 3 ms, max 13 of 5000 ms"
limits:
  description: The limits that were applied.
  returned: always, except when the parameters cannot be used
  type: dict
  sample: {"consecutive": 3, "interval": 0.5, "timeout": 5.0, "deadline": 60.0}
note:
  description: Why nothing was sampled.
  returned: in check mode
  type: str
  sample: Check mode samples nothing.
error:
  description: The parts of the message (what, expected, found, where, next).
  returned: on failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import gate
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.assertion import HAS_JMESPATH, BodyAssertion
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.http_check import (
    HttpCheck,
    merge_headers,
    tls_context,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import PASS
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module

ARGUMENTS: dict[str, t.Any] = {
    "targets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "headers": {"type": "dict", "default": {}},
        },
    },
    "status": {"type": "int", "default": 200},
    "body": {"type": "str", "default": ""},
    "consecutive": {"type": "int", "default": 3},
    "interval": {"type": "float", "default": 0.5},
    "timeout": {"type": "float", "default": 5},
    "deadline": {"type": "float", "default": 60},
    "method": {"type": "str", "choices": ["GET", "HEAD", "POST", "OPTIONS"], "default": "GET"},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
    "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "host_header": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, pass_gate)


def pass_gate(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns the result of a gate that passed, and leaves through fail_json with the same result otherwise."""
    wanted = module.params
    limits = gate.Limits(wanted["consecutive"], wanted["interval"], wanted["timeout"], wanted["deadline"])
    if module.check_mode:
        return look_at_nothing(module, limits)
    targets = plan(wanted)
    gate.check(targets, limits)
    samples, seconds = gate.sample_all(targets, limits)
    reports = [gate.report(*seen, limits) for seen in zip(targets, samples, seconds)]
    result = {"changed": False, **gate.conclude(reports, limits)}
    if result["verdict"] != PASS:
        error = gate.refusal(result, expected(wanted, limits), next_step(wanted, reports))
        module.fail_json(msg=str(error), error=error.details(), **result)
    return result


def look_at_nothing(module: AnsibleModule, limits: gate.Limits) -> dict[str, t.Any]:
    """Check mode: what can be seen without a request and without what is not yet installed is a warning."""
    wanted = module.params
    note = "Check mode samples nothing."
    try:
        gate.check(plan(wanted if HAS_JMESPATH else {**wanted, "body": ""}), limits)
    except RolloutError as error:
        note = f"{note} A real run would fail: {error}"
        module.warn(note)
    result = gate.not_sampled([(target["name"], target["url"]) for target in wanted["targets"]], limits)
    return {"changed": False, "note": note, **result}


def plan(wanted: t.Mapping[str, t.Any]) -> list[gate.Target]:
    """Returns what to sample. Raises BadInput before anything is asked when a parameter cannot be used."""
    body = BodyAssertion(wanted["body"]) if wanted["body"].strip() else None
    context = None
    if any(target["url"].startswith("https:") for target in wanted["targets"]):
        context = tls_context(validate=wanted["validate_certs"], ca_path=wanted["ca_path"])
    return [
        gate.Target(
            target["name"],
            target["url"],
            HttpCheck(
                target["url"],
                method=wanted["method"],
                headers=merge_headers(wanted["headers"], target["headers"], wanted["secret_headers"]),
                host_header=wanted["host_header"],
                status=wanted["status"],
                body=body,
                context=context,
            ),
        )
        for target in wanted["targets"]
    ]


def expected(wanted: t.Mapping[str, t.Any], limits: gate.Limits) -> str:
    parts = [f"status {wanted['status']}"]
    if wanted["body"].strip():
        parts.append(f"{wanted['body']} true on the body")
    return (
        f"{limits.consecutive} answers in a row with {' and '.join(parts)}, "
        f"each within {limits.timeout:g} s, all within {limits.deadline:g} s"
    )


def next_step(wanted: t.Mapping[str, t.Any], reports: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Returns the command that shows a person the same answer. Secret headers are left for them to add."""
    first = next(told for told in reports if told["verdict"] != PASS)
    host = f" -H 'Host: {wanted['host_header']}'" if wanted["host_header"] else ""
    method = f" -X {wanted['method']}" if wanted["method"] != "GET" else ""
    return (
        f"on this host: curl -si -m {wanted['timeout']:g}{method}{host} '{first['url']}', "
        f"then read the log of {first['name']}"
    )


if __name__ == "__main__":
    main()
