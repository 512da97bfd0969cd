"""Stores of a group, with two users who really are two; needs root, who can become them."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .events import cut, make_events, write_events
from .test_verify import file_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

SCRIPT = Path(__file__).with_name("as_user.py")
ANNE, BERT, GROUP, OTHERS = 54321, 54322, 54323, 54324

#: What ``setfacl -m u::rwx,g::r-x,g:GROUP:rwx,m::rwx,o::r-x`` writes (linux/posix_acl_xattr.h).
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, of)
    for tag, permissions, of in (
        (0x01, 7, 0xFFFFFFFF),
        (0x04, 5, 0xFFFFFFFF),
        (0x08, 7, GROUP),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 5, 0xFFFFFFFF),
    )
)


class User:
    """A process of a user, which does what it is told."""

    def __init__(self, uid, gid, umask, *sources):
        command = [sys.executable, SCRIPT, str(uid), str(gid), umask, *map(str, sources)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, action, *arguments):
        self.process.stdin.write(json.dumps([action, *map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def place():
    """A folder below one that all may enter, with two passes that all may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        events = make_events(60)
        for n, part in enumerate(cut(events, [0, 30, 60])):
            write_events(folder / f"night{n}", "raw", [part])
        yield folder


@pytest.fixture(scope="module")
def users(place):
    sources = (place / "night0", place / "night1")
    everyone = {
        "anne": User(ANNE, GROUP, "022", *sources),
        "bert": User(BERT, GROUP, "027", *sources),
        "carl": User(BERT + 10, OTHERS, "022", *sources),
    }
    for user in everyone.values():
        assert user.process.stdout.readline() == "ready\n"
    yield everyone
    for user in everyone.values():
        user.process.kill()
        user.process.communicate()


@pytest.fixture(params=["setgid", "acl"])
def shared(place, request):
    """The folder of the group, as sites make it."""
    folder = place / "group"
    folder.mkdir()
    if request.param == "setgid":
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775)
    else:
        try:
            for kind in ("access", "default"):
                os.setxattr(folder, f"system.posix_acl_{kind}", ACL)
        except OSError:
            pytest.skip("this file system has no access control lists")
    yield folder
    shutil.rmtree(folder)


def test_two_users_write_one_store(place, shared, users):
    """One begins a pass, the other adds to it, the first collects what is left; each with the usual umask."""
    store = shared / "s.etendue"
    anne, bert, carl = (users[name] for name in ("anne", "bert", "carl"))
    assert anne("add", place / "night0", store) == "p"
    assert bert("count", store) == 30
    assert bert("add", place / "night1", store) == "p+1"
    assert anne("count", store) == 60
    assert anne("gc", store) == []
    assert anne("verify", store) == []
    refused = carl("add", place / "night0", store)
    assert refused.startswith("StoreError: ")
    assert "takes no files of yours" in refused
    assert f"{shared} (of root:" in refused


def test_the_lock_of_another_user(place, shared, users):
    store = shared / "s.etendue"
    anne, bert = users["anne"], users["bert"]
    assert anne("hold", store) is None
    refused = bert("add", place / "night0", store)
    assert f"process {anne.process.pid} on " in refused
    assert f"user {ANNE})" in refused
    assert "take_over=True" in refused
    assert bert("take", place / "night0", store) == "p"
    dead = User(BERT, GROUP, "027")
    assert dead.process.stdout.readline() == "ready\n"
    assert dead("hold", store) is None
    dead.process.kill()  # its lock stays, and is of nobody
    dead.process.communicate()
    assert (shared / "s.etendue.lock").stat().st_uid == BERT
    assert anne("drop") is None
    assert anne("add", place / "night1", store) == "p+1"
    assert anne("count", store) == 60
    assert not list(shared.glob("*.lock*"))


def test_what_may_not_be_read_is_not_called_damaged(place, users):
    store = place / "mine.etendue"
    write_events(store, "p", cut(make_events(60), [0, 30, 60]))
    chunk = file_of(str(store), "hits/samples", 0)
    chunk.chmod(0o600)
    assert users["anne"]("verify", store) == ["unreadable"]
    chunk.unlink()
    assert users["anne"]("verify", store) == ["missing"]
    (store / "repo").chmod(0o600)
    said = users["anne"]("count", store)
    assert "cannot be read: repo: " in said
    assert "ermission denied" in said
    assert "damaged" not in said
