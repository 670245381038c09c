# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point of every process. Listens for SIGTERM before anything else is imported.

The first process of a container ignores a signal that it has no handler for, and one that comes during the imports
would be lost. The process sets another handler as soon as it has something to finish.
"""

from __future__ import annotations

import signal
import sys

signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))

from .start import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
