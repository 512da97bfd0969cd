"""What software and what machine a run has: versions, source revision, processor."""

from __future__ import annotations

import platform
import re
import socket
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from json import loads
from pathlib import Path

#: Extras of packages that have no part in a run.
_NOT_AT_RUN = frozenset({"test", "dev"})


def packages(modules: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, of etendue, and of all that it needs and that is installed, transitively.

    Parameters
    ----------
    modules : iterable of str
        Modules that had a part as well (stages and sources of other packages), with what they need.

    Returns
    -------
    dict of str to str
        Versions by name, sorted. Optional dependencies are among them where they are installed.
    """
    others = {module.partition(".")[0] for module in modules} - {"etendue", "__main__"}
    homes = packages_distributions() if others else {}
    names = {name for module in others for name in homes.get(module, ())}
    return {"python": platform.python_version(), **_closure(frozenset({"etendue", *names}))}


@cache
def _closure(names: frozenset[str]) -> dict[str, str]:
    """Versions of installed distributions and of what they require."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [(canonicalize_name(name), extra) for name in names for extra in ("", *_extras(name))]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # optional, or for another platform
        found[name] = package.version
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                pending += [(canonicalize_name(needed.name), e) for e in ("", *needed.extras)]
    return dict(sorted(found.items()))


def _extras(name: str) -> list[str]:
    """Extras of a distribution that may have a part in a run."""
    try:
        declared = distribution(name).metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []
    return [extra for extra in declared if extra not in _NOT_AT_RUN]


@cache
def source_revision() -> str:
    """Which revision of the source of etendue runs; empty if that is not known.

    The commit, if it was installed from a repository; what ``git describe`` says, with ``-dirty`` for
    changes that are not committed, if it runs from a checkout.
    """
    try:
        commit = _direct_url(distribution("etendue")).get("vcs_info", {}).get("commit_id", "")
    except PackageNotFoundError:
        commit = ""
    return commit or _describe(Path(__file__).parents[3])


def _direct_url(package: Distribution) -> dict:
    """Where a distribution was installed from, if not from an index (PEP 610)."""
    return loads(package.read_text("direct_url.json") or "{}")


def _describe(checkout: Path) -> str:
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--long", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def machine() -> dict[str, str | int]:
    """The machine of this process: ``host``, ``platform``, ``cpu`` (model), ``cores`` (that it may use)."""
    from etendue.dataflow.plan import cores

    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": cores(),
    }


def _cpu() -> str:
    """Model of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()  # not Linux
    named = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()
