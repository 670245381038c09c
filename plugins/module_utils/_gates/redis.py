# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on a Redis server: its memory, what it had to forget, its replicas, and the length of a queue. PRIVATE."""

from __future__ import annotations

import importlib
import re
import ssl
import time
import typing as t

from .._foundation.errors import BadInput
from . import measured
from .bounded import Bounded, one_line
from .http_check import tls_context
from .look import Look, Sampler, broken
from .masking import Masking
from .specification import GateSpecification
from .verdict import FAIL, INCONCLUSIVE, NO_DATA

_APART = 1.0  # s between two readings of which a rate is made
_COUNTERS = ("evicted_keys", "keyspace_hits", "keyspace_misses")
_LENGTHS = {"list": "LLEN", "zset": "ZCARD", "stream": "XLEN"}


class _Reading(t.NamedTuple):
    """What INFO said, and when (s of a clock that only goes on)."""

    moment: float
    info: t.Mapping[str, t.Any]


def _redis() -> t.Any:
    return importlib.import_module("redis")  # the library: by this name nothing is ever relative


def sampler(
    gate: GateSpecification, connection: t.Mapping[str, t.Any], library: t.Callable[[], t.Any] = _redis
) -> Sampler:
    """Returns what looks at the server of *connection*: host, port, user, password, tls (true or false), ca_path.

    A server that refuses a connection or says nothing has failed; a mistake of the gate, such as a wrong password, is
    an error. *library* returns the library redis, or what a test puts in its place.
    """
    return Bounded(_Cache(gate, connection, library), gate.fields["timeout"], silence=FAIL)


class _Cache:
    """Remembers what it read last: evictions are counted from one look to the next, hits since the watch began."""

    def __init__(
        self, gate: GateSpecification, connection: t.Mapping[str, t.Any], library: t.Callable[[], t.Any]
    ) -> None:
        self._gate = gate
        self._connection = connection
        self._library = library
        self._hide = Masking([str(connection.get("password") or "")])
        self._before: _Reading | None = None
        self._hits = self._misses = 0  # since the watch began

    def __call__(self, allowed: float) -> Look:
        """Raises TimeoutError when nothing answers, BadInput for an unusable file of authorities."""
        try:
            library = self._library()
        except ImportError:
            return broken("the Python library redis is missing on this host: install python3-redis")
        errors = library.exceptions
        client = self._client(library, allowed)
        try:
            client.ping()
            return self._judge(client, allowed)
        except errors.TimeoutError as error:
            raise TimeoutError from error
        except errors.ConnectionError as error:
            return self._refused(error, isinstance(error, errors.AuthenticationError))
        except errors.RedisError as error:
            return broken(one_line(error, self._hide))
        except BadInput as error:
            return broken(one_line(error.what))
        finally:
            client.connection_pool.disconnect()

    def _client(self, library: t.Any, allowed: float) -> t.Any:
        told = self._connection
        options: dict[str, t.Any] = {}
        if told.get("tls"):
            tls_context(validate=True, ca_path=told.get("ca_path"))  # the library would call its own failure a refusal
            options = {"ssl": True, "ssl_ca_certs": told.get("ca_path"), "ssl_check_hostname": True}
        client = library.Redis(
            host=told["host"],
            port=told.get("port") or 6379,
            username=told.get("user"),
            password=told.get("password"),
            socket_timeout=allowed,
            socket_connect_timeout=allowed,
            decode_responses=True,
            **options,
        )
        client.connection_pool.connection_kwargs.pop("retry", None)  # since version 6 it would ask for 10 s and more
        return client

    def _refused(self, error: Exception, denied: bool) -> Look:
        reason = one_line(error, self._hide)
        if denied or isinstance(error.__context__, ssl.SSLCertVerificationError):
            return broken(f"connection: {reason}")
        return Look(FAIL, [f"connection: refused, {reason}"])

    def _judge(self, client: t.Any, allowed: float) -> Look:
        before, now = self._readings(client, allowed)
        self._before = now
        maximum = now.info.get("maxmemory")
        if before:
            self._hits += _since(before, now, "keyspace_hits")
            self._misses += _since(before, now, "keyspace_misses")
        lookups = self._hits + self._misses
        few = "hit_share" in self._gate.at_least and lookups < self._gate.min_samples
        seen: dict[str, float | None] = {
            "memory": now.info["used_memory"],
            "memory_share": now.info["used_memory"] / maximum if maximum else None,
            "evictions": _since(before, now, "evicted_keys") / (now.moment - before.moment) if before else None,
            "hit_share": None if few or not lookups else self._hits / lookups,
            "replicas": _replicas(now.info),
        }
        if "queue_length" in self._gate.at_most:
            seen["queue_length"] = _length(client, self._gate.fields["queue"])
            self._before = _read(client)  # Redis counts these lookups too, and the next look must not
        # The samples of such a gate are lookups, and those were counted already.
        judged = measured.judge(self._gate._replace(min_samples=1), seen, 1)
        if not few or judged.verdict == FAIL:
            return Look(*judged)
        words = [f"{lookups} lookups, at least {self._gate.min_samples}", *judged.words]
        return Look(INCONCLUSIVE if lookups else NO_DATA, words)

    def _readings(self, client: t.Any, allowed: float) -> tuple[_Reading | None, _Reading]:
        """Returns two readings of the same counters, the first one None where only the last one matters.

        A rate is taken over no less than _APART: over milliseconds it would be nothing, or a lot.
        """
        now = _read(client)
        before = self._before if self._before and _goes_on(self._before, now) else None
        if "evictions" not in self._gate.at_most:
            return before, now
        before = before or now
        early = _APART - (now.moment - before.moment)
        if early <= 0:
            return before, now
        time.sleep(min(early, allowed / 2))
        return before, _read(client)


def _read(client: t.Any) -> _Reading:
    return _Reading(time.monotonic(), client.info())


def _goes_on(before: _Reading, now: _Reading) -> bool:
    """Returns whether the server counted on: it did not after a restart, and not after CONFIG RESETSTAT."""
    same = before.info.get("run_id") == now.info.get("run_id")
    return same and now.moment > before.moment and all(_since(before, now, name) >= 0 for name in _COUNTERS)


def _replicas(info: t.Mapping[str, t.Any]) -> int | None:
    """Returns how many replicas follow; one that still waits for its first copy is connected, and has nothing."""
    if "connected_slaves" not in info:
        return None
    told = [value for key, value in info.items() if re.fullmatch("slave[0-9]+", key)]
    return len([one for one in told if isinstance(one, t.Mapping) and one.get("state") == "online"])


def _since(before: _Reading | None, now: _Reading, name: str) -> int:
    return int(now.info.get(name, 0)) - (int(before.info.get(name, 0)) if before else 0)


def _length(client: t.Any, key: str) -> int:
    """Raises BadInput when *key* is no queue."""
    kind = client.type(key)
    if kind == "none":  # Redis removes a list together with its last element
        return 0
    if kind not in _LENGTHS:
        raise BadInput(f"the key {key} is of type {kind}, not {', '.join(_LENGTHS)}")
    return int(client.execute_command(_LENGTHS[kind], key))
