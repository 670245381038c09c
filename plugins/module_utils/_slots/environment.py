# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files in the two dialects: raw lines for docker --env-file, quoted ones for systemd. Pure.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .._foundation.errors import BadInput

# docker reads the file with a scanner that gives up on longer lines (64 KiB, bufio.MaxScanTokenSize).
_LONGEST_DOCKER_LINE = 65535


def encode(runtime: str, variables: t.Mapping[str, str]) -> str:
    """Returns the text of an environment file that gives a process exactly *variables*.

    Raises BadInput, naming the variable and never its value, for what the runtime cannot carry.
    """
    line = _docker_line if runtime == "docker" else _systemd_line
    return "".join(line(name, variables[name]) + "\n" for name in sorted(variables))


def _docker_line(name: str, value: str) -> str:
    # Everything behind the first "=" is the value, quotes and backslashes included; a carriage return at the end of
    # a line is dropped by docker.
    if any(character in value for character in "\n\r\0"):
        raise _refusal(name, "a value of one line: docker's environment files know no quoting", "a line break or a NUL")
    line = f"{name}={value}"
    if len(line.encode("utf-8")) > _LONGEST_DOCKER_LINE:
        raise _refusal(name, f"at most {_LONGEST_DOCKER_LINE} bytes", f"{len(line.encode('utf-8'))} bytes")
    return line


def _systemd_line(name: str, value: str) -> str:
    # In double quotes only these four are escaped (systemd, src/basic/env-file.c); a line break stands for itself.
    if "\0" in value:
        raise _refusal(name, "a value without NUL", "a NUL")
    for character in '\\"$`':
        value = value.replace(character, "\\" + character)
    return f'{name}="{value}"'


def _refusal(name: str, expected: str, found: str) -> BadInput:
    return BadInput(
        f"The variable {name} cannot be given to a process.",
        expected=expected,
        found=found,
        where="rollout_configuration or rollout_secrets",
        next_step="encode the value, for example as base64, and let the application decode it",
    )
