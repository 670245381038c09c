# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a peer was told and may repeat, taken out of what is shown of its answer. Pure. PRIVATE."""

from __future__ import annotations

import json
import typing as t

MASK = "********"
# A header such as "Bearer TOKEN" may come back as its token alone. Shorter words than this are no token.
_TOKEN = 8  # characters

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
