# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a secret shows: in command lines while something runs, in logs, in facts, and in files that anybody may read.

*marks* are the secrets by what they are. Every look has a control that it must find.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import typing as t

Marks = t.Mapping[str, str]

#: Where anybody may look. What root alone may read is where secrets live.
PUBLIC = "/etc /home /mnt /opt /root /run /srv /tmp /usr/local /var"
_SAMPLER = """
import json, os, time
seen, looks = set(), {}
while not os.path.exists("/run/stop-sampling"):
    there = set(filter(str.isdigit, os.listdir("/proc")))
    looks = {process: looks.get(process, 0) + 1 for process in there}
    for process, times in looks.items():
        # What a process runs changes soon after its begin; later, now and then is enough, and all that hosts can bear.
        if times < 10 or times % 50 == 0:
            try:
                seen.add(open(f"/proc/{process}/cmdline").read())
            except OSError:
                pass
    time.sleep(0.02)
json.dump(sorted(seen), open("/run/sampled.new", "w"))
os.rename("/run/sampled.new", "/run/sampled.json")
"""
_LOGS = """
umask 077
echo %s > /run/marks
echo %s | systemd-cat
journalctl --sync
{ journalctl --no-pager -o cat; find /var/log -type f -name '*.log*' ! -name '*.gz' -exec cat {} +; } \
| grep -aoFf /run/marks | sort -u
rm /run/marks
"""


@contextlib.contextmanager
def sampled(lab: t.Any, names: t.Sequence[str]) -> t.Iterator[dict[str, list[str]]]:
    """Notes the command lines that run on hosts meanwhile. What it yields has them by host, once it has ended."""
    begin = "rm -f /run/stop-sampling /run/sampled.json; setsid python3 -c %s >&- 2>&- <&- &"
    for name in names:
        lab.connect(name).check_output(begin, _SAMPLER)
    found: dict[str, list[str]] = {}
    try:
        yield found
    finally:
        for name in names:
            lab.connect(name).check_output("touch /run/stop-sampling")
    for name in names:
        lab.wait_for(name, "ls /run/sampled.json", "/run/sampled.json", seconds=10)
        found[name] = json.loads(lab.connect(name).check_output("cat /run/sampled.json"))


def in_text(text: str, marks: Marks) -> list[str]:
    """Returns what shows in a text."""
    return [what for what, mark in marks.items() if mark in text]


def in_command_lines(arguments: t.Mapping[str, list[str]], marks: Marks) -> list[str]:
    """Returns the command lines with a secret, of all that sampled() has noted."""
    for name, lines in arguments.items():
        assert any("python3" in line for line in lines), f"nothing was seen on {name}"
    return [line for lines in arguments.values() for line in lines for mark in marks.values() if mark in line]


def in_logs(lab: t.Any, name: str, marks: Marks) -> list[str]:
    """Returns what shows in the journal and in the log files of a host."""
    control = f"marked{secrets.token_hex(12)}"
    found = lab.connect(name).check_output(_LOGS, "\n".join([control, *marks.values()]), control).splitlines()
    assert control in found, f"nothing was seen in the logs of {name}"
    return [what for what, mark in marks.items() if mark in found]


def in_facts(lab: t.Any, name: str, marks: Marks) -> list[str]:
    """Returns what shows in the facts of a host, its local ones among them: any play may print or keep them."""
    host, control = lab.connect(name), f"marked{secrets.token_hex(12)}"
    folder = "/etc/ansible/facts.d"
    host.check_output(f"mkdir -p {folder} && echo %s > {folder}/control.fact", json.dumps(control))
    try:
        told = lab.facts(name)
    finally:
        host.check_output(f"rm {folder}/control.fact; rmdir -p --ignore-fail-on-non-empty {folder}")
    assert control in told, f"nothing was seen in the facts of {name}"
    return in_text(told, marks)


def readable(lab: t.Any, name: str, marks: Marks) -> list[str]:
    """Returns the files of a host with a secret that anybody may read."""
    host, control = lab.connect(name), f"marked{secrets.token_hex(12)}"
    host.check_output("echo %s > /var/tmp/control; chmod 644 /var/tmp/control", control)
    search = f"grep -rlsF --devices=skip -f - {PUBLIC}"
    found = host.run("echo %s | runuser -u nobody -- sh -c %s", "\n".join([control, *marks.values()]), search)
    host.check_output("rm /var/tmp/control")
    files = t.cast("list[str]", found.stdout.split())
    assert "/var/tmp/control" in files, f"nothing was seen in the files of {name}"
    return [path for path in files if path != "/var/tmp/control"]
