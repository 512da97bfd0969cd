"""DST files: offline events with their best tracks only, and summaries of each event made by a production.

The trees ``E`` (class ``Evt``) and ``T`` (summaries) have an entry an event each. Productions differ in their
summaries, so that the columns are found in the file: ``sum_hits/nhits`` becomes ``events/sum_hits_nhits``. A
tree ``headerTree`` has an entry a file that the DST was made of: the static table ``dst_inputs``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net import evt
from etendue.neutrino.sources.km3net.branches import Branches, branches_of
from etendue.neutrino.sources.km3net.columnar import (
    TEXT,
    TOP,
    Column,
    Part,
    TreeReader,
)
from etendue.neutrino.sources.km3net.headers import HEADER, header_rows
from etendue.neutrino.sources.km3net.offline import OfflineStream, Static, evt_entries, is_dst
from etendue.neutrino.sources.km3net.online import Checks
from etendue.schema import Columns, Table, Variable

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory
    from uproot.behaviors.TBranch import TBranch

SUMMARIES, INPUTS = "T", "headerTree"
#: Table of the words of the headers in that tree.
HEAD_MAP = "Head_map_string_string"

#: Members of ROOT's base classes, which mean nothing here.
_BOOKKEEPING = {"fUniqueID", "fBits", "any"}
#: Tables and columns of events that offline files, stages and passes have, whatever a branch is called.
_RESERVED = frozenset(
    {"run", "selected", "observation", "meta", HEADER.name, "dst_inputs", "failures"}
    | {"detector", "modules", "detector_file"}
    | {name for part in evt.PARTS for name in (part.table, f"n_{part.table}")}
    | {column.variable.name for part in evt.PARTS if part.table == TOP for column in part.columns}
)


class DSTStream(OfflineStream):
    """Offline events with their summaries (``#dst``)."""

    name: ClassVar[str] = "dst"

    def entries(self, file: ReadOnlyDirectory) -> int | None:
        """Events of the file; None if it has no summaries."""
        return evt_entries(file) if is_dst(file) else None

    def readers(self, path: str, file: ReadOnlyDirectory) -> list[TreeReader]:
        """What reads the events, and what reads their summaries."""
        branches = branches_of(file, SUMMARIES)
        return [*super().readers(path, file), TreeReader(branches, parts(branches))]

    def static(self, path: str, file: ReadOnlyDirectory, broken: list[Failure] | None) -> Static:
        """Static tables of offline files, and the files that the DST was made of."""
        found = super().static(path, file, broken)
        if file.classnames(recursive=False, cycle=False).get(INPUTS) != "TTree":
            return found
        try:
            table, inputs, heads = _inputs(path, file)
        except SourceError as error:
            if broken is None:
                raise
            broken.append(error.failure)
            return found
        known = found[HEADER.name][1]
        more = header_rows(heads, first=int(known["head"].max(initial=-1)) + 1)
        both = {name: np.concatenate([known[name], more[name]]) for name in known}
        return {**found, HEADER.name: (HEADER, both), table.name: (table, inputs)}


def parts(branches: Branches) -> tuple[Part, ...]:
    """Tables and columns of a tree, as found: numbers, arrays of fixed size, lists, texts, lists of objects.

    Branches of other kinds (pointers) are left out, and so is what ROOT's base classes hold.

    Raises
    ------
    SourceError
        If uproot cannot make sense of a branch.
    """
    try:
        return _parts(branches)
    except Exception as error:
        message = f"a branch cannot be understood ({type(error).__name__}: {error})"
        raise SourceError(branches.path, branches.tree, message) from error


def _parts(branches: Branches) -> tuple[Part, ...]:
    groups = [
        name
        for name, branch in branches.all.items()
        if branch.branches and branch.typename.startswith(("vector<", "map<"))
    ]
    members: dict[str, list[Column]] = {group: [] for group in groups}
    columns, lists = [], []
    taken = dict.fromkeys(_RESERVED, "")
    for name, branch in branches.all.items():
        kind, disk = _kind(branch)
        group = next((group for group in groups if name.startswith(f"{group}/")), "")
        if not kind or re.split(r"[./]", name)[-1] in _BOOKKEEPING:
            continue
        if group and kind == "member":
            own = _free(_member(name), name, {c.variable.name: c.branches[0] for c in members[group]})
            members[group].append(_column(own, f"{_free(_column_name(group), group, taken)}_row", name, disk))
        elif not group and kind == "list":
            table = _free(_column_name(name), name, taken)
            lists.append(Part(table, (_column("value", f"{table}_item", name, disk),), TOP))
        elif not group and kind == "column":
            columns.append(_column(_free(_column_name(name), name, taken), "event", name, disk))
    collections = [
        Part(_free(_column_name(g), g, taken), tuple(found), TOP, g) for g, found in members.items() if found
    ]
    return Part(TOP, tuple(columns)), *collections, *lists


def _free(name: str, branch: str, taken: dict[str, str]) -> str:
    """A name for what a branch holds that nothing else has, neither of ours nor of another branch."""
    while taken.setdefault(name, branch) != branch:
        name += "_"
    return name


def _column_name(branch: str) -> str:
    """``sum_mc_trks/tmuon/tmuon.AAObject/tmuon.usr`` as ``sum_mc_trks_tmuon_usr``."""
    folders = [folder for folder in branch.split("/") if not folder.endswith(("AAObject", "TObject"))]
    own = [
        folder if above == "" else folder.removeprefix(f"{above}.")
        for above, folder in pairwise(["", *folders])
    ]
    return _plain("_".join(own))


def _member(branch: str) -> str:
    """``crkv_hits/crkv_hits.nhits[3]`` as ``nhits``."""
    group, _, member = branch.rpartition("/")
    return _plain(member.removeprefix(f"{group.rpartition('/')[2]}."))


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name.partition("[")[0]).strip("_")


def _kind(branch: TBranch) -> tuple[str, str]:
    """How a branch is stored (column, list, member of a list of objects), and its dtype in the file."""
    from uproot import AsDtype, AsJagged, AsStrings

    if branch.branches:
        return "", ""
    interpretation, typename = branch.interpretation, branch.typename
    if isinstance(interpretation, AsDtype):
        return "column", _disk(interpretation.from_dtype)
    if isinstance(interpretation, AsJagged):
        kind = {0: "member", 10: "list"}.get(interpretation.header_bytes, "")
        return kind, _disk(interpretation.content.from_dtype)
    if isinstance(interpretation, AsStrings) and interpretation.header_bytes == 6:
        return "column", TEXT
    return {"std::vector<std::string>": "list", "std::string[]": "member"}.get(typename, ""), TEXT


def _disk(dtype: np.dtype) -> str:
    return f"{dtype.shape}{dtype.base.str}" if dtype.shape else dtype.str


def _column(name: str, dim: str, branch: str, disk: str) -> Column:
    description = f"{branch} of the production"
    if disk == TEXT:
        return Column(Variable(name, (dim,), "str", "", description), (branch,), (TEXT,))
    dtype = np.dtype(disk)
    dims = (dim, *(f"of_{size}" for size in dtype.shape))
    return Column(Variable(name, dims, dtype.base.name, "", description), (branch,), (disk,))


def _inputs(path: str, file: ReadOnlyDirectory) -> tuple[Table, Columns, list[dict[str, str]]]:
    """The table ``dst_inputs``, and the header of each of these files."""
    branches = Branches(path, file, INPUTS)
    reader = TreeReader(branches, parts(branches))
    n_inputs, checks = branches.n_entries, Checks(0, branches.n_entries)
    wanted = frozenset(f"{part.table}/{c.variable.name}" for part in reader.parts for c in part.columns)
    raw = reader.look(0, n_inputs, wanted, checks)
    if problems := checks.look({}).problems:
        raise SourceError(path, problems[0].place, problems[0].message)
    tables = reader.tables(raw, np.ones(n_inputs, dtype=bool), wanted)
    found = evt.table(next(part for part in reader.parts if part.table == TOP))
    run = Variable("run", ("dst_input",), "uint32", "", "row of /observation")
    variables = [replace(v, dims=("dst_input", *v.dims[1:])) for v in found.variables.values()]
    table = Table(
        name="dst_inputs",
        dim="dst_input",
        variables={v.name: v for v in (run, *variables)},
        sizes=found.sizes,
        role="static",
        description="one row a file that the DST was made of",
    )
    columns = {"run": np.zeros(n_inputs, dtype=np.uint32), **{v.name: tables[TOP][v.name] for v in variables}}
    return table, columns, _heads(tables, n_inputs)


def _heads(tables: dict[str, Columns], n_inputs: int) -> list[dict[str, str]]:
    """Headers as texts by tag, of the table of the map's pairs."""
    pairs = tables.get(HEAD_MAP)
    if pairs is None:
        return []
    ends = np.cumsum(tables[TOP][f"n_{HEAD_MAP}"])[:-1] if n_inputs else []
    tags, words = (np.split(pairs[name].astype(object), ends) for name in ("first", "second"))
    return [dict(zip(tag, word, strict=True)) for tag, word in zip(tags, words, strict=True)]
