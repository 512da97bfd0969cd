"""What a driver holds does not grow with the number of spans, and plans of a million partitions are small."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

from . import ticks

PLAN = """
    import json, psutil
    import numpy as np
    import etendue as et
    from etendue.store import PassWriter

    plan = et.open("ticks://1000000", memory_limit=1 << 50).plan()
    half = plan.only(np.arange(len(plan.partitions)) % 2 == 0)
    writer = PassWriter.create("memory://s", "p", plan.pipeline.written_schema, {}, len(plan.partitions), {})
    peak = psutil.Process().memory_info().rss
    print(json.dumps([len(plan.spans), len(half.spans), len(writer.ledger.seen), peak]))
"""

RUN = """
    import gc, json, psutil, sys
    import etendue as et
    from etendue.dataflow.memory import give_back_memory
    from etendue.dataflow.run import run
    from etendue.store import PassWriter

    store, n_spans, *counts = sys.argv[1], *map(int, sys.argv[2:])
    plan = et.open(f"ticks://{n_spans}", memory_limit=1 << 50).plan()
    schema = plan.pipeline.written_schema
    writer = PassWriter.create(store, "p", schema, {}, len(plan.partitions), {"labels": {}})
    n_done, memory = 0, {}

    def note(done):
        global n_done
        n_done += 1
        if n_done in counts:
            gc.collect()
            give_back_memory()  # what is free and only kept for the next partition does not count
            memory[n_done] = psutil.Process().memory_info().rss

    with et.connect("laptop", workers=2) as client:
        run(plan, writer=writer, client=client, progress=note)
    writer.publish({})
    rows = et.load(store, "p").events.sizes["event"]
    print(json.dumps([rows, list(memory.values())]))
"""

HALT = """
    import json, sys
    import numpy as np
    import etendue as et
    from etendue.dataflow import passes
    from etendue.store import publish

    store, n_spans, n_done = sys.argv[1], *map(int, sys.argv[2:])
    publish.PassWriter.publish = lambda self, attributes: sys.exit()  # which ends it as a signal does
    remaining = passes._remaining
    passes._remaining = lambda plan, seen: remaining(plan, seen).only(np.arange(n_spans) < n_done)
    try:
        et.open(f"ticks://{n_spans}", memory_limit=1 << 50, workers=2).write(store, "p", quiet=True)
    except SystemExit:
        print(json.dumps(et.store.unfinished(store, "p") is not None))
"""

RESUME = """
    import json, resource, sys
    import etendue as et

    flow = et.open(f"ticks://{sys.argv[2]}", memory_limit=1 << 50, workers=2)
    rows = int(flow.write(sys.argv[1], "p", quiet=True).outcome.rows["events"].sum())
    print(json.dumps([rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10]))
"""


def run_script(folder, script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", dedent(script), *map(str, arguments)],
        env=ticks.install(folder),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def test_a_plan_of_a_million_partitions_is_small(tmp_path):
    n_spans, n_half, n_numbers, memory = run_script(tmp_path, PLAN)
    assert (n_spans, n_half, n_numbers) == (1_000_000, 500_000, 1_000_000)
    assert memory < 1 << 30


@pytest.mark.cluster
@pytest.mark.timeout(3600)
def test_memory_of_driver_and_scheduler_is_flat(tmp_path):
    """Driver, scheduler and worker are one process here; the spans do nothing and each commit is real.

    A span takes 3 ms. With ``ETENDUE_TEST_SPANS=100000``, the end has 13 MB more than 20,000 spans.
    """
    n_spans = int(os.environ.get("ETENDUE_TEST_SPANS", "25000"))
    rows, (early, late) = run_script(tmp_path, RUN, tmp_path / "s", n_spans, n_spans // 5, n_spans)
    assert rows == n_spans
    assert late - early < 64 << 20


@pytest.mark.cluster
@pytest.mark.timeout(3600)
def test_memory_of_a_driver_that_resumes_is_flat(tmp_path):
    """Receipts of what was done before are added up as they are read from the journal, and not kept.

    The peak is 156 MB for 5,000 spans, 170 MB for 25,000 and 211 MB for 100,000, of which 50 MB are for
    publishing; kept receipts would take another 1.5 kB each.
    """
    n_spans, peaks = int(os.environ.get("ETENDUE_TEST_SPANS", "25000")), []
    for n in (n_spans // 5, n_spans):
        folder = tmp_path / str(n)
        assert run_script(folder / "halt", HALT, folder / "s", n, n - 1)
        rows, peak = run_script(folder / "resume", RESUME, folder / "s", n)
        assert rows == n
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 400 * (n_spans - n_spans // 5) + (16 << 20)
