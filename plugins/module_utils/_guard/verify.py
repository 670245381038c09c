# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users get through the load balancer, and whether it is what they must get. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .._foundation.errors import BadInput
from .._gates import gate
from .._gates.assertion import BodyAssertion
from .._gates.http_check import PROBE_HEADER, HttpCheck, tls_context
from .._gates.verdict import PASS

_INTERVAL = 0.05  # s
_DEFAULTS = {"status": 200, "body": "", "consecutive": 3, "timeout": 5.0, "deadline": 15.0}


class Question:
    """*wanted*: url, status, body (JMESPath, empty for any), consecutive, timeout and deadline in seconds.

    Raises BadInput for what can never be asked, so that it is refused before traffic moves.
    """

    def __init__(self, wanted: t.Mapping[str, t.Any]) -> None:
        told = {**_DEFAULTS, **{key: value for key, value in wanted.items() if value is not None}}
        unknown = sorted(set(told) - {*_DEFAULTS, "url"})
        if unknown or "url" not in told:
            raise BadInput(
                "It is not clear what to ask through the load balancer.",
                expected=f"url, and of {', '.join(_DEFAULTS)} what shall differ",
                found=", ".join(sorted(told)),
                where="verify",
            )
        body = BodyAssertion(str(told["body"])) if str(told["body"]).strip() else None
        self._limits = gate.Limits(int(told["consecutive"]), _INTERVAL, float(told["timeout"]), float(told["deadline"]))
        url = str(told["url"])
        tls = tls_context(validate=True, ca_path=None) if url.startswith("https:") else None
        check = HttpCheck(url, status=int(told["status"]), body=body, headers={PROBE_HEADER: "verify"}, context=tls)
        self._targets = [gate.Target("load balancer", url, check)]
        self._expected = f"{told['consecutive']} answers in a row with status {told['status']}"
        self._expected += f" and {told['body']} true on the body" if body else ""
        gate.check(self._targets, self._limits)

    def ask(self, allowed: float | None = None) -> str:
        """Returns the summary of answers that are as they must be, after at most *allowed* seconds.

        Raises RolloutError with what was seen otherwise.
        """
        limits = self._limits
        if allowed is not None:
            limits = limits._replace(deadline=max(0.1, min(limits.deadline, allowed)))
        samples, seconds = gate.sample_all(self._targets, limits)
        reports = [gate.report(*seen, limits) for seen in zip(self._targets, samples, seconds)]
        concluded = gate.conclude(reports, limits)
        if concluded["verdict"] != PASS:
            raise gate.refusal(concluded, self._expected, f"on this host: curl -si '{self._targets[0].place}'")
        return str(concluded["summary"][0])
