"""Run by `test_forked`: reads a store here, and in processes that are forked or spawned from here."""

import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import etendue as et
from etendue.store.forked import ForkedError


def child_says(ask):
    """What a forked child gets to know; it is ended if it does not answer."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(30)
        try:
            said = repr(ask())
        except ForkedError as error:
            said = f"refused: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "it hung"
    return said


def mean(tree):
    return float(tree["hits/charge"].mean())


def main(path):
    print(child_says(lambda: mean(et.load(path))), flush=True)  # nobody has read anything yet
    tree = et.load(path)
    print(mean(tree), flush=True)
    print(child_says(lambda: et.load(path)), flush=True)
    print(child_says(lambda: mean(tree)), flush=True)
    flow = et.open(path)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            flow.write(f"{path}.copy", "p", executor=pool, quiet=True)
        except ForkedError as error:
            print(f"refused: {error}", flush=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(mean, tree).result(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
