"""Runs one step of a make target: says what it does, never stays silent for long, says how long it took.

Usage: step.py "Title of the step" COMMAND [ARGUMENT ...]
The output of the command passes through unchanged; after eight silent seconds a line says that it still works and
repeats the last line that the command wrote, or what is in the file STEP_NOW, if the environment names one that is
there. The exit code is the command's. In the file STEP_LOG, if the environment names one, stands how long each step
took; a step that fails, or that is ended, shows it last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SILENCE_SECONDS = 8.0


class Watch:
    """What was written last, and when; shared by the reader and the heartbeat."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.last_output = self.started
        self.last_line = ""

    def heard(self, line: bytes) -> None:
        """Remembers the last line with text in it."""
        self.last_output = time.monotonic()
        text = line.decode("utf-8", "replace").strip()
        if text:
            self.last_line = text

    def elapsed(self) -> str:
        """Returns the time since the start as 7 s or 3 min 05 s."""
        seconds = int(time.monotonic() - self.started)
        return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02d} s"


def doing(watch: Watch) -> str:
    """Returns what the command does now, by the file STEP_NOW, or else by the last line that it wrote."""
    try:
        now = Path(os.environ.get("STEP_NOW", os.devnull)).read_text(encoding="utf-8")
    except OSError:
        now = ""
    return f"now: {now[:90]}" if now else f"last: {watch.last_line[:90]}" if watch.last_line else ""


def heartbeat(watch: Watch, ended: threading.Event) -> None:
    """Speaks whenever the command has been silent for SILENCE_SECONDS."""
    while not ended.wait(1.0):
        if time.monotonic() - watch.last_output >= SILENCE_SECONDS:
            told = doing(watch)
            print(f"    ... still working, {watch.elapsed()}{f' ({told})' if told else ''}", flush=True)
            watch.last_output = time.monotonic()


def noted(said: str) -> str:
    """Writes how a step has ended below those before it. Returns all of them; nothing where there is no STEP_LOG."""
    if not os.environ.get("STEP_LOG"):
        return ""
    log = Path(os.environ["STEP_LOG"])
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as lines:
            lines.write(f"{time.strftime('%H:%M:%S')}  {said}\n")
        return log.read_text(encoding="utf-8")
    except OSError as error:  # how the command has ended counts for more
        return f"unknown: {error}\n"


def main(arguments: list[str]) -> int:
    """Runs the command in *arguments* behind its title. Returns its exit code."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    title, command = arguments[0], arguments[1:]
    print(f"\n==> {title}", flush=True)
    watch = Watch()
    ended = threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda caught, _frame: process.send_signal(caught))
        threading.Thread(target=heartbeat, args=(watch, ended), daemon=True).start()
        assert process.stdout is not None
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                watch.heard(chunk.splitlines()[-1] if chunk.strip() else b"")
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
        code = process.wait()
    ended.set()
    verdict = "done" if code == 0 else f"FAILED with exit code {code}"
    said = f"{title}: {verdict} in {watch.elapsed()}"
    so_far = noted(said)  # before it is printed: who reads may be gone
    print(f"<== {said}", flush=True)
    if code != 0 and so_far:
        print(f"\nSteps so far:\n{so_far}", end="", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
