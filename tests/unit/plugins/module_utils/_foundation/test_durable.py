# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durable writes: killed at every step and after every byte, what is read back is the old or the new content."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import StateUnreadable

OLD = '{"live": "blue", "schema": 1}\n'
NEW = '{"live": "green", "note": "gr\u00fcn", "schema": 1}\n'
KILLED = 137
# Every call by which write_text, append_line and remove change something.
CALLS = ("fchmod", "fdopen", "fsync", "replace", "write", "unlink", "open", "close")


def in_killed_process(prepare: t.Callable[[], None], action: t.Callable[[], t.Any]) -> int:
    """Runs *action* in a process of its own, which *prepare* may arm to die; returns how it ended."""
    child = os.fork()
    if child == 0:
        try:
            prepare()
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(number: int, *, after: bool) -> t.Callable[[], None]:
    """The process dies before (or after) its call *number* of all CALLS."""

    def prepare() -> None:
        made = 0

        def arm(original: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
            def armed(*arguments: t.Any, **options: t.Any) -> t.Any:
                nonlocal made
                mine, made = made, made + 1
                if mine == number and not after:
                    os._exit(KILLED)
                result = original(*arguments, **options)
                if mine == number:
                    os._exit(KILLED)
                return result

            return armed

        for name in CALLS:
            setattr(os, name, arm(getattr(os, name)))

    return prepare


def die_after_bytes(count: int) -> t.Callable[[], None]:
    """The process dies when it has written *count* bytes of a file or a line."""

    def prepare() -> None:
        def opened(descriptor: int, *_arguments: t.Any, **_options: t.Any) -> t.Any:
            class Half:
                def __enter__(self) -> t.Any:
                    return self

                def __exit__(self, *_error: object) -> None:
                    os._exit(1)

                def write(self, content: bytes) -> None:
                    write(descriptor, content[:count])
                    os._exit(KILLED)

            return Half()

        def cut(descriptor: int, content: bytes) -> int:
            write(descriptor, content[:count])
            os._exit(KILLED)

        write = os.write
        os.fdopen = opened  # type: ignore[assignment]
        os.write = cut  # type: ignore[assignment]

    return prepare


@pytest.mark.parametrize("before", [None, OLD], ids=["first write", "rewrite"])
@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_write_killed_at_any_call_leaves_the_old_or_the_new_content(
    tmp_path: Path, before: str | None, after: bool
) -> None:
    seen = set()
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = str(folder / "state.json")
        if before is not None:
            durable.write_text(path, before)
        code = in_killed_process(die_at(number, after=after), lambda path=path: durable.write_text(path, NEW))
        content = durable.read_text(path)
        assert content in (before, NEW), number
        seen.add(content)
        assert durable.write_text(path, NEW) == (content != NEW)
        assert durable.read_text(path) == NEW
        if code == 0:
            break
        assert code == KILLED
    else:
        pytest.fail("the write never ran to its end")
    assert seen == {before, NEW}
    assert number > 4


@pytest.mark.parametrize("before", [None, OLD], ids=["first write", "rewrite"])
def test_a_write_killed_after_any_byte_leaves_the_old_content(tmp_path: Path, before: str | None) -> None:
    path = str(tmp_path / "state.json")
    if before is not None:
        durable.write_text(path, before)
    for count in range(len(NEW.encode()) + 1):
        code = in_killed_process(die_after_bytes(count), lambda: durable.write_text(path, NEW))
        assert code == KILLED
        assert durable.read_text(path) == before


def test_a_line_killed_after_any_byte_spoils_no_other_line(tmp_path: Path) -> None:
    line = '{"step": "switch", "slot": "green"}'
    for count in range(len(line) + 2):
        path = str(tmp_path / f"journal-{count}")
        durable.append_line(path, "first")
        code = in_killed_process(die_after_bytes(count), lambda path=path: durable.append_line(path, line))
        assert code == KILLED
        durable.append_line(path, "last")
        torn = [line[:count]] if count else []
        assert Path(path).read_text().splitlines() == ["first", *torn, "last"]


def test_lines_are_added_in_order_and_a_torn_first_line_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"st')
    durable.append_line(str(path), "one")
    durable.append_line(str(path), "zw\u00f6lf")
    assert path.read_bytes() == '{"st\none\nzw\u00f6lf\n'.encode()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o700])
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_file_has_exactly_the_mode_whatever_the_mask_of_the_process(tmp_path: Path, mode: int, mask: int) -> None:
    path = tmp_path / "secret.env"
    previous = os.umask(mask)
    try:
        assert durable.write_text(str(path), "x", mode=mode) is True
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o7777 == mode


def test_a_secret_is_never_readable_by_others_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    replace = os.replace

    def look(source: str, target: str) -> None:
        modes.append(os.stat(source).st_mode & 0o7777)
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    durable.write_text(str(tmp_path / "secret.env"), "x")
    assert modes == [0o600]


def test_a_write_changes_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert durable.write_text(str(path), "x") is True
    inode = path.stat().st_ino
    assert durable.write_text(str(path), "x") is False
    assert path.stat().st_ino == inode
    assert durable.write_text(str(path), "y") is True
    assert durable.write_text(str(path), "y", mode=0o644) is True
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("y", 0o644)


def test_the_owner_of_a_file_is_set_before_anybody_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that started between the two could not read its own file."""
    path, called = str(tmp_path / "file"), []
    owner = (os.getuid(), os.getgid())
    for name in ("fchown", "replace"):
        real = getattr(os, name)

        def call(*arguments: t.Any, real: t.Any = real, name: str = name) -> t.Any:
            called.append(name)
            return real(*arguments)

        monkeypatch.setattr(durable.os, name, call)
    assert durable.write_text(path, "new", owner=owner)
    assert called == ["fchown", "replace"]
    assert not durable.write_text(path, "new", owner=owner)


def test_the_folder_is_made_durable_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def noted(*arguments: t.Any, name: str = name, original: t.Any = original) -> None:
            order.append(name)
            original(*arguments)

        monkeypatch.setattr(os, name, noted)
    durable.write_text(str(tmp_path / "state.json"), "x")
    assert order == ["fsync", "replace", "fsync"]


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    durable.write_text(str(path), OLD)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write_text(str(path), NEW)
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]
    assert path.read_text() == OLD


def test_a_write_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.write_text(str(tmp_path / "missing" / "state.json"), "x")


def test_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    assert durable.write_text(path, "one\r\ntwo\rthree\n") is True
    assert durable.write_text(path, "one\r\ntwo\rthree\n") is False
    assert durable.read_text(path) == "one\r\ntwo\rthree\n"


def test_a_folder_and_its_parents_are_made_durable_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    path = tmp_path / "rollout" / "shop"
    assert durable.make_folder(str(path)) is True
    assert synced == [str(tmp_path), str(tmp_path / "rollout")]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o700, 0o755)
    path.chmod(0o750)
    assert durable.make_folder(str(path)) is False
    assert (path.stat().st_mode & 0o777, len(synced)) == (0o750, 2)


def test_what_is_not_accepted_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "shop.conf"
    path.write_text("old")

    def refuse(new: str) -> None:
        assert Path(new).read_text() == "new"
        assert path.read_text() == "old"
        raise ValueError

    with pytest.raises(ValueError):
        durable.write_bytes(str(path), b"new", accept=refuse)
    assert (path.read_text(), [one.name for one in tmp_path.iterdir()]) == ("old", ["shop.conf"])
    assert durable.write_bytes(str(path), b"old", mode=path.stat().st_mode & 0o7777, accept=refuse) is False


def test_a_link_is_made_once_and_replaced_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "live"
    assert durable.make_link(str(link), "blue") is True
    assert durable.make_link(str(link), "blue") is False
    (tmp_path / ".live.new").symlink_to("left by a kill")
    assert durable.make_link(str(link), "green") is True
    assert link.readlink() == Path("green")
    assert [one.name for one in tmp_path.iterdir()] == ["live"]


def test_a_missing_file_is_none_and_nothing_to_remove(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    assert durable.read_text(path) is None
    assert durable.read_json(path, schema=1) is None
    assert durable.remove(path) is False
    durable.write_text(path, "x")
    assert durable.remove(path) is True
    assert durable.read_text(path) is None


def test_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    content = {"schema": 1, "live": None, "note": "gr\u00fcn", "slots": {"blue": [1, 2]}}
    assert durable.write_json(path, content) is True
    assert durable.write_json(path, dict(reversed(content.items()))) is False
    assert durable.read_json(path, schema=1) == content
    assert durable.read_json(path, schema=2) == content


def test_every_prefix_of_a_state_file_is_refused_and_never_taken_for_a_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    durable.write_json(str(path), {"schema": 1, "live": "blue"})
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StateUnreadable, match="A state file is damaged"):
            durable.read_json(str(path), schema=1)
        assert path.read_bytes() == whole[:length]


@pytest.mark.parametrize(
    ("text", "what", "found"),
    [
        ("[]", "has no schema version", "list with schema None"),
        ("null", "has no schema version", "NoneType with schema None"),
        ("{}", "has no schema version", "dict with schema None"),
        ('{"schema": 0}', "has no schema version", "dict with schema 0"),
        ('{"schema": "1"}', "has no schema version", "dict with schema '1'"),
        ('{"schema": true}', "has no schema version", "dict with schema True"),
        ('{"schema": 2}', "written by a newer version of the collection", "schema 2"),
    ],
)
def test_what_is_no_state_of_ours_is_refused_with_what_to_do(tmp_path: Path, text: str, what: str, found: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateUnreadable) as refused:
        durable.read_json(str(path), schema=1)
    assert what in refused.value.what
    assert refused.value.found == found
    assert refused.value.where == str(path)
    assert refused.value.next_step
    assert path.read_text() == text


def test_a_part_that_does_not_parse_is_told_with_the_file_and_what_belongs_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"schema": 1, "port": "x"}')

    def parse(content: t.Mapping[str, t.Any]) -> int:
        if not isinstance(content["port"], int):
            raise ValueError("port is 'x', not a number")
        return content["port"]

    def read() -> int | None:
        return durable.read_parsed(str(path), parse, schema=1, what="The plan", expected="port")

    with pytest.raises(StateUnreadable) as refused:
        read()
    assert refused.value.what == "The plan cannot be understood."
    assert (refused.value.expected, refused.value.found) == ("port", "port is 'x', not a number")
    assert refused.value.where == str(path)
    assert f"mv {path} {path}.damaged" in str(refused.value.next_step)
    path.write_text('{"schema": 1, "port": 80}')
    assert read() == 80
    path.unlink()
    assert read() is None
