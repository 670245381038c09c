# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a peer was told and may repeat, taken out of what is shown of its answer. Pure. PRIVATE."""

from __future__ import annotations

import json
import typing as t
import urllib.parse

MASK = "********"
# A header such as "Bearer TOKEN" may come back as its token alone. Shorter words than this are no token.
_TOKEN = 8  # characters

# Shorter texts in a body are words of every answer.
_SHORTEST = 6  # characters

#: Takes secrets out of a text; ``str`` is the one that knows none.
Hide = t.Callable[[str], str]


class Masking:
    """Puts a mask in place of each of *secrets*, of the long words in it, and of both as JSON writes them."""

    def __init__(self, secrets: t.Collection[str]) -> None:
        tokens = [word for secret in secrets for word in secret.split() if len(word) >= _TOKEN]
        written = {told for word in (*secrets, *tokens) for told in (word, json.dumps(word)[1:-1])}
        self._words = sorted(filter(None, written), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._words:
            text = text.replace(word, MASK)
        return text


def secrets_in(body: str) -> list[str]:
    """Returns what a secret *body* of a request must not give away: itself, and what its JSON or its form has.

    Left out are texts and numbers of fewer than 6 characters.
    """
    try:
        found = list(_texts(json.loads(body)))
    except (ValueError, RecursionError):
        found = [value for _name, value in urllib.parse.parse_qsl(body)]
        found += [part.partition("=")[2] for part in body.split("&")]  # as it is written
    return list(dict.fromkeys([body, *(text for text in found if len(text) >= _SHORTEST)]))


def _texts(content: t.Any) -> t.Iterator[str]:
    if isinstance(content, (str, int, float)) and not isinstance(content, bool):
        yield str(content)
    elif isinstance(content, (dict, list)):
        for one in content.values() if isinstance(content, dict) else content:
            yield from _texts(one)
