# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the configuration, then runs one process of the application until it is told to stop."""

from __future__ import annotations

import importlib
import logging
import os
import sys

from .config import ConfigurationError, read_settings

PROCESSES = ("web", "worker", "scheduler")
EXIT_USAGE = 64
EXIT_CONFIGURATION = 78


def main(arguments: list[str] | None = None) -> int:
    """Runs the process named by the only argument; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or arguments[0] not in PROCESSES:
        print(f"usage: reference_app {'|'.join(PROCESSES)}", file=sys.stderr)
        return EXIT_USAGE
    try:
        settings = read_settings(os.environ)
    except ConfigurationError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return EXIT_CONFIGURATION
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    # Only the process that was asked for: a worker does not load the web framework.
    process = importlib.import_module(f".{arguments[0]}", __package__)
    return int(process.run(settings))
