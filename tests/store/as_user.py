"""Run by `test_group`: becomes a user, then does what lines of standard input say, and answers each."""

import json
import os
import sys
import tempfile

import etendue as et
from etendue.store.collect import collect_garbage
from etendue.store.lock import StoreLock
from etendue.store.verify import verify


def add(source, store, **options):
    """Make, or add to, pass p of a store."""
    return et.open(source).write(store, "p", quiet=True, **options).tag


def count(store):
    return int(et.load(store)["events"].sizes["event"])


def hold(store):
    """Claim a store, and keep it for as long as this process lives."""
    global _kept
    _kept = StoreLock(store)


def look(store):
    return [chunk.kind for chunk in verify(store).damaged]


ACTIONS = {
    "add": add,
    "take": lambda source, store: add(source, store, take_over=True),
    "count": count,
    "gc": lambda store: collect_garbage(store).unfinished,
    "hold": hold,
    "drop": lambda: _kept.release(),
    "verify": look,
}


def main(uid, gid, umask, *sources):
    with tempfile.TemporaryDirectory() as folder:  # what is imported late may not be open to the user
        for source in sources:
            add(source, f"{folder}/s")
        if sources:
            count(f"{folder}/s"), look(f"{folder}/s"), ACTIONS["gc"](f"{folder}/s")
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    os.umask(int(umask, 8))
    print("ready", flush=True)
    for line in sys.stdin:
        action, *arguments = json.loads(line)
        try:
            answer = ACTIONS[action](*arguments)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
