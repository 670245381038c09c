# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any prefix of any write leaves a readable state, and no garbage is ever taken for one.

A write is cut off after every byte that it writes and before every call that changes something on the disk; nothing
that it does after that reaches the disk. (test_durable.py kills real processes.)
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._state import intent as intents
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

# What it remembers between runs does not lie among the sources.
set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "hypothesis"))

# The same examples in every run: a test suite that fails now and then is worth less than one that fails.
fuzz = settings(
    database=None, deadline=None, derandomize=True, max_examples=150, suppress_health_check=list(HealthCheck)
)

# With open and write, the calls that change something; a kill may come before each of them.
CALLS = ("mkdir", "fchmod", "fsync", "replace", "unlink")

CLOCK = Clock(utc=lambda: "2026-11-21T17:20:03Z", boottime=lambda: 100.0, boot_id=lambda: "kernel:1000")
LATER = CLOCK._replace(boottime=lambda: 120.0)
KIM = Run("run-kim", 1, "deploy", "kim", "AWX job 42", "1.1.0-bbb", "green", "blue")
LEE = Run("run-lee", 2, "roll_back", "Jörg", "command line")
INTENT = intents.Intent(
    token="5ecret",
    run=KIM,
    target="green",
    previous="blue",
    armed="2026-11-21T17:20:03Z",
    boot_id="kernel:1000",
    deadline_boottime=400.0,
    deadline_seconds=300.0,
    instances={"blue": ("10.0.0.11:8001",), "green": ("10.0.0.11:8002",)},
    check={"path": "/ready", "status": 200, "host": None},
    public_url="http://127.0.0.1:80/ready",
)
R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}
BEFORE, _entry = states.confirmed(
    states.State("shop", "staging"), operation="deploy", slot="blue", release=R1, by="kim", at="2026-11-20T00:00:00Z"
)
AFTER, _entry = states.confirmed(
    BEFORE, operation="deploy", slot="green", release=R2, by="Jörg", at="2026-11-21T00:00:00Z"
)


# --- A process that dies in the middle -------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is dead; whatever it still tries never reaches the disk."""


class Disk:
    """Lets *units* bytes and calls reach the disk, and none after them. The kernel still closes what was open."""

    def __init__(self, units: int) -> None:
        self.left = units
        self.opened: set[int] = set()
        self.write_through = os.write

    def spend(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def write(self, descriptor: int, content: bytes) -> int:
        allowed = content[: self.left]
        self.left -= len(allowed)
        if allowed:
            self.write_through(descriptor, allowed)
        if len(allowed) < len(content):
            raise Killed
        return len(content)

    def counted(self, original: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def call(*arguments: t.Any, **options: t.Any) -> t.Any:
            self.spend()
            return original(*arguments, **options)

        return call

    def open(self, original: t.Callable[..., int]) -> t.Callable[..., int]:
        def call(*arguments: t.Any, **options: t.Any) -> int:
            self.spend()
            descriptor = original(*arguments, **options)
            self.opened.add(descriptor)
            return descriptor

        return call

    def close(self, original: t.Callable[[int], None]) -> t.Callable[[int], None]:
        def call(descriptor: int) -> None:
            self.opened.discard(descriptor)
            original(descriptor)

        return call


class Unbuffered:
    """A file whose bytes go to the disk one by one, which is the worst that a buffer can do."""

    def __init__(self, descriptor: int, disk: Disk) -> None:
        self.descriptor = descriptor
        self.disk = disk

    def __enter__(self) -> Unbuffered:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.descriptor)

    def write(self, content: bytes) -> int:
        return self.disk.write(self.descriptor, content)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self.descriptor


def killed_after(units: int, action: t.Callable[[], t.Any]) -> bool:
    """Runs *action*, and kills it after *units* bytes and calls; returns whether it came to that."""
    disk = Disk(units)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, disk.counted(getattr(os, name)))
        patch.setattr(os, "open", disk.open(os.open))
        patch.setattr(os, "close", disk.close(os.close))
        patch.setattr(os, "write", disk.write)
        patch.setattr(os, "fdopen", lambda descriptor, *_arguments: Unbuffered(descriptor, disk))
        try:
            action()
        except Killed:
            return True
        finally:
            for descriptor in list(disk.opened):
                os.close(descriptor)
    return False


def killed_everywhere(
    prepare: t.Callable[[str], None], action: t.Callable[[str], t.Any]
) -> t.Iterator[tuple[str, bool]]:
    """Yields a folder per point at which *action* was killed, and at last one where it ran to its end (True)."""
    for units in range(10_000):
        with tempfile.TemporaryDirectory() as root:
            folder = os.path.join(root, "shop")
            os.mkdir(folder)
            prepare(folder)
            killed = killed_after(units, lambda folder=folder: action(folder))
            yield folder, not killed
        if not killed:
            return
    pytest.fail("the write never ran to its end")


def nothing(_folder: str) -> None:
    pass


@contextlib.contextmanager
def folder_with(name: str, content: bytes) -> t.Iterator[str]:
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "shop")
        os.mkdir(folder)
        Path(folder, name).write_bytes(content)
        yield folder


# --- Killed at every byte and call -----------------------------------------------------------------------------------


@fuzz
@given(old=st.none() | st.text(max_size=40), new=st.text(max_size=40), share=st.floats(0, 1))
def test_a_killed_write_of_any_text_leaves_the_old_or_the_new_one(old: str | None, new: str, share: float) -> None:
    most = len(new.encode()) + 12
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        if old is not None:
            durable.write_text(path, old)
        killed = killed_after(round(share * most), lambda: durable.write_text(path, new))
        found = durable.read_text(path)
        assert found in ((old, new) if killed else (new,))
        assert durable.write_text(path, new) == (found != new)
        assert durable.read_text(path) == new


@fuzz
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20), max_size=3),
    line=st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20),
    share=st.floats(0, 1),
)
def test_a_killed_line_of_any_text_spoils_no_other_line(lines: list[str], line: str, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        for one in lines:
            durable.append_line(path, one)
        killed_after(round(share * (len(line.encode()) + 5)), lambda: durable.append_line(path, line))
        durable.append_line(path, "last")
        content = Path(path).read_bytes()
        before = "".join(one + "\n" for one in lines).encode()
        assert content.startswith(before)
        *torn, last, end = content[len(before) :].split(b"\n")
        assert (last, end) == (b"last", b"")
        assert len(torn) <= 1
        assert line.encode().startswith(b"".join(torn))


def test_a_killed_lease_is_the_old_or_the_new_one_and_the_next_run_goes_on() -> None:
    seen = set()
    for folder, ended in killed_everywhere(nothing, lambda folder: leases.acquire(folder, KIM, 60, CLOCK)):
        lease = leases.read(folder)
        assert lease is None or (lease.id, lease.epoch, lease.released) == ("run-kim", 1, False)
        assert lease is not None or not ended
        seen.add(lease is None)
        again, how = leases.acquire(folder, KIM, 60, CLOCK)
        assert (again.epoch, how) == (1, "")
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (lambda folder: leases.renew(folder, KIM, 60, LATER), ("run-kim", 1, 160, False), ("run-kim", 1, 180, False)),
        (lambda folder: leases.release(folder, KIM), ("run-kim", 1, 160, False), ("run-kim", 1, 160, True)),
        (
            lambda folder: leases.acquire(folder, LEE, 60, LATER, break_id="run-kim", reason="it hangs"),
            ("run-kim", 1, 160, False),
            ("run-lee", 2, 180, False),
        ),
    ],
    ids=["renew", "release", "break"],
)
def test_a_killed_change_of_a_lease_happened_or_did_not(
    change: t.Callable[[str], t.Any], old: t.Any, new: t.Any
) -> None:
    seen = set()
    for folder, ended in killed_everywhere(lambda folder: leases.acquire(folder, KIM, 60, CLOCK), change):
        lease = leases.read(folder)
        assert lease is not None
        found = (lease.id, lease.epoch, lease.expires_boottime, lease.released)
        assert found == new if ended else found in (old, new)
        seen.add(found)
        taken, _how = leases.acquire(
            folder, Run("run-lou", 0, "deploy", "lou", "x"), 60, CLOCK._replace(boottime=lambda: 999.0)
        )
        assert taken.epoch == lease.epoch + 1
    assert seen == {old, new}


def test_a_killed_fence_lets_the_newer_run_through_and_the_older_one_never_back_in_front() -> None:
    for folder, ended in killed_everywhere(
        lambda folder: leases.fence(folder, KIM, CLOCK), lambda folder: leases.fence(folder, LEE, CLOCK)
    ):
        if ended:
            with pytest.raises(leases.LeaseLost):
                leases.fence(folder, KIM, CLOCK)
        leases.fence(folder, LEE, CLOCK)
        with pytest.raises(leases.LeaseLost):
            leases.fence(folder, KIM, CLOCK)


@pytest.mark.parametrize("before", [None, INTENT], ids=["arm", "change"])
def test_a_killed_intent_is_the_old_or_the_new_one(before: intents.Intent | None) -> None:
    new = INTENT._replace(attempts=1, says="grün")
    prepare = nothing if before is None else lambda folder: intents.write(folder, before)
    seen = set()
    for folder, ended in killed_everywhere(prepare, lambda folder: intents.write(folder, new)):
        found = intents.read(folder)
        assert found == new if ended else found in (before, new)
        seen.add(found == new)
        intents.write(folder, new)
        assert intents.read(folder) == new
    assert seen == {True, False}


def test_a_killed_disarming_leaves_the_guard_armed_or_not() -> None:
    seen = set()
    for folder, ended in killed_everywhere(lambda folder: intents.write(folder, INTENT), intents.remove):
        found = intents.read(folder)
        assert found is None if ended else found in (None, INTENT)
        seen.add(found is None)
        intents.remove(folder)
        assert intents.read(folder) is None
    assert seen == {True, False}


def test_a_killed_state_is_the_old_or_the_new_one() -> None:
    seen = []
    for folder, ended in killed_everywhere(
        lambda folder: states.save(BEFORE, os.path.dirname(folder)),
        lambda folder: states.save(AFTER, os.path.dirname(folder)),
    ):
        found = states.load("shop", os.path.dirname(folder))
        assert found == AFTER if ended else found in (BEFORE, AFTER)
        seen.append(found == AFTER)
        states.save(AFTER, os.path.dirname(folder))
        assert states.load("shop", os.path.dirname(folder)) == AFTER
    assert set(seen) == {True, False}


def test_a_killed_step_is_not_begun_or_begun_or_ended_and_the_next_line_repairs_what_was_torn() -> None:
    def switch(folder: str) -> None:
        with journal.step(folder, KIM, "switch", CLOCK, detail="blue to grün"):
            pass

    seen = set()
    for folder, ended in killed_everywhere(
        lambda folder: journal.append(folder, KIM, "arm", "end", clock=CLOCK), switch
    ):
        entries, damaged = journal.read_all(folder)
        told = [(entry.step, entry.phase) for entry in entries]
        whole = [("arm", "end"), ("switch", "begin"), ("switch", "end")]
        assert told == (whole if ended else whole[: len(told)])
        assert (damaged, bool(told)) == (0, True)
        seen.add(len(told))
        added = journal.append(folder, KIM, "revert", "begin", clock=CLOCK)
        again, damaged = journal.read_all(folder)
        assert again == [*entries, added]
        assert damaged <= 1
    assert seen == {1, 2, 3}


def test_a_first_line_may_be_killed_too() -> None:
    for folder, _ended in killed_everywhere(
        os.rmdir, lambda folder: journal.append(folder, KIM, "begin", "begin", clock=CLOCK)
    ):
        entries = journal.read(folder)
        added = journal.append(folder, KIM, "begin", "end", clock=CLOCK, outcome="done")
        assert journal.read(folder) == [*entries, added]


# --- Cut short by something else than us -----------------------------------------------------------------------------

READERS: dict[str, tuple[bytes, t.Callable[[str], t.Any]]] = {
    "lease.json": (
        json.dumps(leases.taken(None, KIM, 60, CLOCK, where="lease.json")[0].to_dict()).encode(),
        leases.read,
    ),
    "intent.json": (json.dumps(INTENT.to_dict()).encode(), intents.read),
    "state.json": (
        json.dumps(AFTER.to_dict(), ensure_ascii=False).encode(),
        lambda folder: states.load("shop", os.path.dirname(folder)),
    ),
    "fence.json": (
        b'{"at": "2026-11-21T17:20:03Z", "epoch": 1, "id": "run-kim", "schema": 1}',
        lambda folder: leases.fence(folder, LEE, CLOCK),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_no_prefix_of_a_file_is_taken_for_the_file(name: str) -> None:
    whole, read = READERS[name]
    for length in range(len(whole)):
        with folder_with(name, whole[:length]) as folder:
            with pytest.raises(StateUnreadable):
                read(folder)
            assert Path(folder, name).read_bytes() == whole[:length]
    with folder_with(name, whole) as folder:
        assert read(folder) is not None


def test_every_prefix_of_a_journal_is_a_shorter_journal() -> None:
    with tempfile.TemporaryDirectory() as folder:
        entries = [
            journal.append(folder, KIM, step, phase, clock=CLOCK, detail="grün")
            for step in ("arm", "switch")
            for phase in ("begin", "end")
        ]
        whole = Path(folder, journal.FILE).read_bytes()
    lines = whole.split(b"\n")[:-1]
    for length in range(len(whole) + 1):
        with folder_with(journal.FILE, whole[:length]) as folder:
            complete = sum(len(b"\n".join(lines[:number])) <= length for number in range(1, len(lines) + 1))
            assert journal.read_all(folder) == (entries[:complete], 0)
            added = journal.append(folder, KIM, "end", "begin", clock=CLOCK)
            again, damaged = journal.read_all(folder)
            assert again == [*entries[:complete], added]
            assert damaged <= 1


@pytest.mark.parametrize("name", [*READERS, journal.FILE])
def test_an_unfinished_temporary_file_never_hurts(name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "shop")
        leases.acquire(folder, KIM, 60, CLOCK)
        leases.fence(folder, KIM, CLOCK)
        intents.write(folder, INTENT)
        states.save(BEFORE, root)
        entry = journal.append(folder, KIM, "arm", "begin", clock=CLOCK)
        for number in range(100):
            Path(folder, f".{name}.{number}").write_text('{"schema": 1, "id": "half')
        leases.renew(folder, KIM, 60, LATER)
        assert leases.fence(folder, LEE, CLOCK) is True
        assert states.save(AFTER, root) is True
        assert (intents.read(folder), states.load("shop", root), journal.read(folder)) == (INTENT, AFTER, [entry])
        assert intents.remove(folder) is True


# --- Garbage ---------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def usable(name: str, found: t.Any) -> None:
    """What was read must be good for every decision, and must be writable again."""
    if name == "lease.json":
        assert 0 <= leases.remaining(found, LATER) <= found.seconds
        assert 0 <= leases.remaining(found, LATER._replace(boot_id=lambda: "other:5")) <= found.seconds
        leases.taken(found, Run(found.id, 0, "deploy", "kim", "x"), 60, LATER, where="lease.json")
    elif name == "intent.json":
        assert intents.due(found, LATER) <= found.deadline_seconds
        with tempfile.TemporaryDirectory() as folder:
            intents.write(folder, found)
            assert intents.read(folder) == found


def refused_or_usable(name: str, content: bytes) -> None:
    _whole, read = READERS[name]
    with folder_with(name, content) as folder:
        try:
            found = read(folder)
        except StateUnreadable as refused:
            assert refused.where == os.path.join(folder, name)
            assert refused.next_step
            assert len(str(refused).encode()) < 2_000
            assert Path(folder, name).read_bytes() == content
        except leases.LeaseLost:
            assert name == "fence.json"
        else:
            usable(name, found)


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(content=st.binary(max_size=60) | VALUES.map(json.dumps).map(str.encode))
def test_garbage_is_refused(name: str, content: bytes) -> None:
    refused_or_usable(name, content)


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(choice=st.data())
def test_a_file_with_damaged_bytes_is_refused_or_still_usable(name: str, choice: st.DataObject) -> None:
    whole, _read = READERS[name]
    start = choice.draw(st.integers(0, len(whole)))
    end = choice.draw(st.integers(start, min(len(whole), start + 3)))
    refused_or_usable(name, whole[:start] + choice.draw(st.binary(max_size=3)) + whole[end:])


@pytest.mark.parametrize("name", ["lease.json", "intent.json", "fence.json"])
@fuzz
@given(choice=st.data())
def test_a_file_with_any_value_in_any_place_is_refused_or_still_usable(name: str, choice: st.DataObject) -> None:
    whole, _read = READERS[name]
    content = json.loads(whole)
    place = choice.draw(st.sampled_from([content, *(part for part in content.values() if isinstance(part, dict))]))
    place[choice.draw(st.sampled_from(sorted(place)))] = choice.draw(VALUES)
    refused_or_usable(name, json.dumps(content).encode())


@fuzz
@given(choice=st.data())
def test_a_journal_with_garbage_anywhere_keeps_its_other_lines(choice: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        entries = [journal.append(folder, KIM, "arm", phase, clock=CLOCK) for phase in ("begin", "end")]
        first, second, _rest = Path(folder, journal.FILE).read_bytes().split(b"\n")
    line = json.loads(first)
    line[choice.draw(st.sampled_from(sorted(line)))] = choice.draw(VALUES)
    garbage = choice.draw(st.binary(max_size=40) | st.just(json.dumps(line).encode()))
    with folder_with(journal.FILE, first + b"\n" + garbage + b"\n" + second + b"\n") as folder:
        try:
            found, damaged = journal.read_all(folder)
        except StateUnreadable as refused:
            assert "newer version" in refused.what
            assert json.loads(garbage)["schema"] > 1
            return
        assert (found[0], found[-1]) == (entries[0], entries[1])
        assert len(found) - 2 + damaged <= garbage.count(b"\n") + 1
        added = journal.append(folder, KIM, "switch", "begin", clock=CLOCK)
        assert journal.read_all(folder) == ([*found, added], damaged)


@fuzz
@given(content=st.binary(max_size=60), new=st.text(max_size=10))
def test_garbage_in_a_file_does_not_stop_a_write_over_it(content: bytes, new: str) -> None:
    with folder_with("file", content) as folder:
        path = os.path.join(folder, "file")
        durable.write_text(path, new)
        assert durable.read_text(path) == new
        assert durable.write_text(path, new) is False
