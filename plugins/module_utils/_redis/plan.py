# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the settings that are wanted and those of the running server. Pure. PRIVATE to the collection.

Values are compared as servers tell them in CONFIG GET, so that 512mb and 536870912 are the same. What a throw-away
server cannot have (a port, a folder) is compared as it was told.
"""

from __future__ import annotations

import json
import re
import typing as t

from .._foundation.errors import BadInput

#: Directives that name the files of a certificate.
CERTIFICATES = ("tls-ca-cert-file", "tls-cert-file", "tls-key-file")
#: What a throw-away server has of its own. Those that can be told in variables are compared as told.
OWN = (
    *CERTIFICATES,
    *("port", "tls-port", "tls-replication", "unixsocket", "unixsocketperm", "maxclients", "aclfile"),
    *("dir", "logfile", "pidfile", "daemonize", "supervised", "replicaof", "slaveof", "include", "server-cpulist"),
)
#: Never shown, whatever the value.
SECRET = ("requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass")
HIDDEN = "(not shown)"
#: What a server has when nothing is told of it.
_NOTHING_TOLD = {"tls-port": "0", "tls-replication": "no", "aclfile": "", "unixsocket": "", "port": "6379"}
_DEFAULTS = {**_NOTHING_TOLD, **dict.fromkeys(CERTIFICATES, "")}

Value = t.Union[str, int, float, bool, t.Sequence[t.Any]]


class Change(t.NamedTuple):
    """A directive that must become another one. *restart*: only a start of the server reads it."""

    name: str
    before: str
    after: str
    restart: bool = False

    def __str__(self) -> str:
        shown = (HIDDEN, HIDDEN) if self.name in SECRET else (self.before or '""', self.after or '""')
        return f"{self.name}: {shown[0]} -> {shown[1]} ({'restart' if self.restart else 'CONFIG SET'})"


def text_of(directives: t.Mapping[str, Value]) -> str:
    """Returns the lines of a configuration file. Raises BadInput for a name or a value that would be another line.

    A list is a directive that is given several times; for save, whose pairs are one setting, it is one line.
    """
    lines = []
    for name, value in sorted(directives.items()):
        if not re.fullmatch(r"[a-z0-9-]+", name):
            raise BadInput("A directive of Redis has no such name.", expected="letters a-z, digits, -", found=name)
        values = [value] if isinstance(value, (str, int, float)) else list(value)
        if name == "save":
            pairs = " ".join(map(word, values)).strip()
            lines += ['save ""', *([f"save {pairs}"] if pairs.strip('"') else [])]
            continue
        lines += [f"{name} {quoted(word(one)) if name in SECRET else word(one)}" for one in values]
    for line in lines:
        if re.search(r"[\x00-\x1f]", line):
            name = line.split(" ", 1)[0]
            raise BadInput(f"The directive {name} of Redis is not one line of text.", where="redis_settings")
    return "".join(f"{line}\n" for line in lines)


def word(value: t.Any) -> str:
    """Returns a value as Redis writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if str(value) else '""'


def words(value: Value) -> str:
    """Returns a value, or several of one directive, as CONFIG GET tells them."""
    values = [value] if isinstance(value, (str, int, float)) else value
    return " ".join(map(word, values)).strip('"')


def quoted(text: str) -> str:
    """Returns *text* between quotes; for one line, Redis reads them by the rules of JSON."""
    return json.dumps(text, ensure_ascii=False) if text != '""' else text


def unquoted(text: str) -> str:
    """Returns what quoted() was given."""
    return str(json.loads(text)) if text.startswith('"') else text


def names_of(text: str) -> set[str]:
    """Returns the directives that a file of ours holds."""
    return {line.split(" ", 1)[0] for line in text.splitlines() if line and not line.startswith("#")}


def changes(
    wanted: t.Mapping[str, str], running: t.Mapping[str, str], told: t.Mapping[str, Value], fixed: t.Container[str]
) -> list[Change]:
    """Returns what the running server must change. *wanted* is what a throw-away server read from the new files.

    *told* is what the files hold; *fixed* says which directives only a start reads.
    """
    own = {name: word(told[name]) if name in told else default for name, default in _DEFAULTS.items()}
    own.update({name: word(told[name]) for name in ("maxclients", "unixsocketperm") if name in told})
    after = {**{name: value for name, value in wanted.items() if name not in OWN}, **own}
    return [
        Change(name, running[name], after[name], name in fixed)
        for name in sorted(after)
        if name in running and running[name] != after[name].strip('"')
    ]


def check_memory(wanted: t.Mapping[str, str], info: t.Mapping[str, str], total: int) -> None:
    """Raises BadInput when keys would not fit. *info* is what the server tells, *total* the bytes of the host."""
    limit = int(wanted["maxmemory"])
    if total and limit > total:
        raise BadInput(
            "Redis may not have more memory than the host.",
            expected=f"redis_maxmemory of at most {total // 2**20} MiB",
            found=f"{limit // 2**20} MiB",
            where="redis_maxmemory",
        )
    # As the server itself counts before a write.
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    if limit and used > limit and wanted["maxmemory-policy"] == "noeviction":
        raise BadInput(
            "Redis would refuse every write: its keys need more memory than it may have.",
            expected=f"redis_maxmemory above {-(-used // 2**20)} MiB",
            found=f"{limit / 2**20:.1f} MiB",
            where="redis_maxmemory",
        )
