# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of the reference application for Locust; in the end one line of JSON, which a gate of type command can judge.

locust --headless --only-summary -f examples/load_test/locustfile.py --users 1000 --spawn-rate 100 --run-time 5m

As a gate it asks the instances of the release that is judged (ROLLOUT_INSTANCE_URLS); by hand, say --host URL.
"""

from __future__ import annotations

import json
import os
import random
import sys
import typing as t

from locust import HttpUser, between, events, task

INSTANCES = os.environ.get("ROLLOUT_INSTANCE_URLS", "").split()
#: How many there were at the same time.
most = [0]


class User(HttpUser):
    """Reads lists and records, and writes one now and then."""

    wait_time = between(1, 3)

    def __init__(self, environment: t.Any) -> None:
        self.host = random.choice(INSTANCES or [environment.host])  # noqa: S311 - not a secret
        super().__init__(environment)

    @task(3)
    def read_list(self) -> None:
        self.client.get("/api/v1/patients?limit=10", name="list")

    @task(5)
    def read_one(self) -> None:
        self.client.get(f"/api/v1/patients/{random.randint(1, 50)}", name="read")  # noqa: S311 - not a secret

    @task(2)
    def write(self) -> None:
        self.client.post("/api/v1/patients", json={"given_name": "Load", "family_name": "Test"}, name="write")


@events.spawning_complete.add_listener
def _count(user_count: int, **_more: t.Any) -> None:
    most[0] = max(most[0], user_count)


@events.quitting.add_listener
def _tell(environment: t.Any, **_more: t.Any) -> None:
    """Locust's own --json has no percentiles. Failures are for the gate to judge: the exit code says that it ran."""
    total = environment.stats.total
    told = {
        "users": most[0],
        "requests": total.num_requests,
        "p95_ms": total.get_response_time_percentile(0.95),
        "error_percent": 100 * total.fail_ratio,
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    environment.process_exit_code = 0
