"""The branches of a tree whose objects are split: which there are, what is in them, how much there can be."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net.baskets import Branch
from etendue.neutrino.sources.km3net.streams import found_out

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory
    from uproot.behaviors.TBranch import TBranch

#: Bytes that a byte of a file can unpack to, of what zlib packs; far more than real data do.
MOST_PACKED = 1032


class Branches:
    """The branches of a tree.

    Parameters
    ----------
    path : str
        The input, for errors.
    file : ReadOnlyDirectory
        The file.
    tree : str
        Name of the tree.

    Raises
    ------
    SourceError
        If the tree cannot be read, or says that it has more entries than the file has bytes.
    """

    def __init__(self, path: str, file: ReadOnlyDirectory, tree: str) -> None:
        self.path, self.tree = path, tree
        try:
            found = file[tree]
            self.n_entries = int(found.num_entries)
            self.all: dict[str, TBranch] = dict(found.iteritems())
            self._size = int(file.file.source.num_bytes)
        except Exception as error:
            raise SourceError(
                path, tree, f"the tree cannot be read ({type(error).__name__}: {error})"
            ) from error
        if not 0 <= self.n_entries <= self._size:
            message = f"{self.n_entries} entries cannot be in a file of {self._size} bytes"
            raise SourceError(path, tree, message)
        self._open: dict[str, Branch] = {}
        self._dtypes: dict[str, np.dtype] = {}

    def by_leaf(self) -> Branches:
        """The same with the last part of each branch's name only."""
        same = copy(self)
        same.all = {name.rpartition("/")[2]: branch for name, branch in self.all.items()}
        same._open, same._dtypes = {}, {}
        return same

    def __contains__(self, name: str) -> bool:
        return name in self.all

    def most_items(self, name: str, size: int) -> int:
        """Items of so many bytes (0: texts, of one at least) that a branch can have; unpacks nothing."""
        branch = self.all[name]
        in_tree = sum(len(basket.data) for basket in branch.embedded_baskets)
        said = int(branch.uncompressed_bytes) + in_tree
        return min(max(said, 0), MOST_PACKED * self._size) // max(size, 1)

    def dtype(self, name: str, disk: tuple[str, ...]) -> np.dtype:
        """The dtype of the numbers of a branch: of those that it may have, the one in the file.

        Raises
        ------
        SourceError
            If it is none of them.
        """
        if name not in self._dtypes:
            try:
                stored = _stored(self.all[name])
            except Exception as error:
                message = f"its type cannot be understood ({type(error).__name__}: {error})"
                raise SourceError(self.path, f"{self.tree}/{name}", message) from error
            alike = [dtype for dtype in map(np.dtype, disk) if stored is None or _alike(dtype, stored)]
            if not alike:
                message = f"expected numbers of type {' or '.join(disk)}, found {stored}"
                raise SourceError(self.path, f"{self.tree}/{name}", message)
            self._dtypes[name] = alike[0]
        return self._dtypes[name]

    def __getitem__(self, name: str) -> Branch:
        """The bytes of a branch.

        Raises
        ------
        SourceError
            If its baskets are not those of as many entries as the tree has.
        """
        if name not in self._open:
            branch = Branch(self.path, self.tree, self.all[name])
            if branch.n_entries != self.n_entries:
                message = f"expected {self.n_entries} entries as in the tree, found {branch.n_entries}"
                raise SourceError(self.path, branch.place, message)
            self._open[name] = branch
        return self._open[name]


def branches_of(file: ReadOnlyDirectory, tree: str) -> Branches:
    """The branches of a tree, understood once as long as the file is open: that takes its time."""
    known = found_out(file)
    if tree not in known:
        known[tree] = Branches(file.file_path, file, tree)
    return known[tree]


def _stored(branch: TBranch) -> np.dtype | None:
    """The dtype of the numbers of a branch, as its file declares it; None if they are in objects."""
    from uproot import AsDtype, AsJagged

    interpretation = branch.interpretation
    content = interpretation.content if isinstance(interpretation, AsJagged) else interpretation
    return content.from_dtype if isinstance(content, AsDtype) else None


def _alike(one: np.dtype, other: np.dtype) -> bool:
    """Whether numbers of one dtype are those of the other; with or without sign, as files differ in it."""
    kinds = [dtype.base.kind.replace("u", "i") for dtype in (one, other)]
    return kinds[0] == kinds[1] and one.itemsize == other.itemsize
