"""Headers of offline files: what was simulated, in which volume, with which programs.

A header (class ``Head``, KM3NeT-Dataformat) is a map from tags to text; the words of many tags have names.
A file that was merged from others may hold a ``MultiHead`` with the headers of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.schema import Columns, Table, variables

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

HEADER = Table(
    name="header",
    dim="header_word",
    role="static",
    description="one row a word of a header of a simulated file",
    variables=variables(
        "header_word",
        run=("uint32", "", "row of /observation"),
        head=("int32", "", "0 for the file's own header, then those of the files that it was merged from"),
        tag=("str", "", "what the words are about"),
        field=("str", "", "name of the word; field_<n> where it has none, empty where it is the only one"),
        text=("str", "", "the word; empty if it is missing"),
    ),
)

_CUT = "Emin Emax cosTmin cosTmax"
_PROGRAM = "program version date time"

#: Names of the words of a tag, of KM3NeT-Dataformat.
FIELDS = {
    tag: names.split()
    for tag, names in {
        "DAQ": "livetime",
        "PDF": "i1 i2",
        "PM1_type_area": "type area TTS",
        "can": "zmin zmax r",
        "coord_origin": "x y z",
        "cut_in": _CUT,
        "cut_nu": _CUT,
        "cut_primary": _CUT,
        "cut_seamuon": _CUT,
        "fixedcan": "xcenter ycenter zmin zmax radius",
        "flux": "type key file_1 file_2",
        "generator": _PROGRAM,
        "genhencut": "gDir Emin",
        "genvol": "zmin zmax r volume numberOfEvents",
        "k40": "rate time",
        "livetime": "numberOfSeconds errorOfSeconds",
        "merge": "time gain",
        "model": "interaction muon scattering numberOfEnergyBins",
        "norma": "primaryFlux numberOfPrimaries",
        "physics": _PROGRAM,
        "seed": "program level iseed",
        "simul": _PROGRAM,
        "spectrum": "alpha",
        "start_run": "run_id",
        "translate": "x y z",
    }.items()
}

Value = int | float | str | None


def header(path: str, file: ReadOnlyDirectory) -> Columns:
    """The table `HEADER` of one file; no rows if it has no header.

    Raises
    ------
    SourceError
        If there is a header that cannot be read.
    """
    classes = {key.partition(";")[0]: name for key, name in file.classnames(recursive=False).items()}
    own = [name for name in ("Head", "Header") if classes.get(name) == "Head"][:1]
    heads = [read_head(path, file, name) for name in own] or [[{}]]
    if classes.get("MultiHead") == "MultiHead":
        heads.append(read_head(path, file, "MultiHead"))
    return header_rows([head for group in heads for head in group])


def header_rows(heads: Sequence[Mapping[str, str]], first: int = 0) -> Columns:
    """The table `HEADER` of headers (texts by tag), numbered from ``first``."""
    rows = [
        (number, tag, field, word)
        for number, head in enumerate(heads, first)
        for tag, text in head.items()
        for field, word in _words(tag, text)
    ]
    number, tag, field, text = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "run": np.zeros(len(rows), dtype=np.uint32),
        "head": np.array(number, dtype=np.int32),
        "tag": np.array(tag, dtype=str),
        "field": np.array(field, dtype=str),
        "text": np.array(text, dtype=str),
    }


def _words(tag: str, text: str) -> Iterator[tuple[str, str]]:
    words, names = text.split(), FIELDS.get(tag, [])
    if len(words) == 1 and not names:
        yield "", words[0]
        return
    for i in range(max(len(words), len(names))):
        yield names[i] if i < len(names) else f"field_{i}", words[i] if i < len(words) else ""


def header_values(columns: Mapping[str, np.ndarray], run: int = 0, head: int = 0) -> dict[str, object]:
    """A header as a dictionary: a number or text for each tag, or a dictionary of them by name.

    Parameters
    ----------
    columns : mapping of str to array
        Columns of the table ``header``, as in ``partition.conditions["header"]``.
    run : int
        Row of ``/observation``: which input.
    head : int
        0 for the file's own header, then those of the files that it was merged from.

    Returns
    -------
    dict
        As km3io's ``header``: whole numbers as int, other numbers as float, missing words as None.
    """
    values: dict[str, object] = {}
    mine = (columns["run"] == run) & (columns["head"] == head)
    for tag, field, text in zip(*(columns[name][mine] for name in ("tag", "field", "text")), strict=True):
        if not field:
            values[str(tag)] = _value(str(text))
        else:
            values.setdefault(str(tag), {})[str(field)] = _value(str(text))
    return values


def _value(text: str) -> Value:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text or None


def read_head(path: str, file: ReadOnlyDirectory, name: str) -> list[dict[str, str]]:
    """The header ``Head``, or all headers of a ``MultiHead``, as texts by tag.

    Raises
    ------
    SourceError
        If the object is not what it should be.
    """
    try:
        chunk, _ = file.key(name).get_uncompressed_chunk_cursor()
        data = np.asarray(chunk.raw_data).tobytes()
    except Exception as error:
        raise SourceError(path, name, f"cannot be unpacked ({type(error).__name__}: {error})") from error
    reader = _Reader(path, name, data)
    reader.skip(_RECORD)
    if name != "MultiHead":
        reader.skip(_OBJECT)
        return [reader.map(reader.map_layout())]
    _, version = reader.unpack(_VERSION)
    if not version & _MEMBERWISE:
        raise reader.error("expected heads that are stored member by member")
    reader.skip(2)
    (n_heads,) = reader.unpack(_INT)
    if not 0 <= n_heads * _OBJECT <= len(data):
        raise reader.error(f"expected a number of heads, got {n_heads}")
    reader.skip(n_heads * _OBJECT)
    layout = reader.map_layout()
    return [reader.map(layout) for _ in range(n_heads)]


#: Byte count and version of an object; version, id and bits of a TObject.
_VERSION, _INT = Struct(">IH"), Struct(">i")
_RECORD, _OBJECT = _VERSION.size, 10
#: Bit of the version of a container that is stored member by member: all keys, then all values.
_MEMBERWISE = 0x4000


@dataclass
class _Reader:
    """Bytes of a ROOT object, from the start."""

    path: str
    name: str
    data: bytes
    place: int = 0

    def error(self, message: str) -> SourceError:
        return SourceError(self.path, f"{self.name} byte {self.place}", message)

    def skip(self, n: int) -> bytes:
        """The next n bytes."""
        if self.place + n > len(self.data):
            raise self.error(f"expected {n} bytes, the header has {len(self.data) - self.place} more")
        self.place += n
        return self.data[self.place - n : self.place]

    def unpack(self, form: Struct) -> tuple:
        return form.unpack(self.skip(form.size))

    def text(self) -> str:
        (length,) = self.skip(1)
        if length == 255:
            (length,) = self.unpack(_INT)
            if length < 0:
                raise self.error(f"expected the length of a text, got {length}")
        return self.skip(length).decode("utf-8", errors="replace")

    def map_layout(self) -> bool:
        """Head of a map (or of all maps of a vector that is stored member by member)."""
        _, version = self.unpack(_VERSION)
        memberwise = bool(version & _MEMBERWISE)
        if memberwise:
            (pair_version,) = Struct(">H").unpack(self.skip(2))
            self.skip(4 if pair_version == 0 else 0)  # a checksum stands for a missing version
        return memberwise

    def map(self, memberwise: bool) -> dict[str, str]:
        (n,) = self.unpack(_INT)
        if not 0 <= n <= len(self.data):
            raise self.error(f"expected a number of tags, got {n}")
        if not memberwise:
            return {self.text(): self.text() for _ in range(n)}
        if n == 0:
            return {}
        self.skip(_RECORD)
        keys = [self.text() for _ in range(n)]
        self.skip(_RECORD)
        return dict(zip(keys, [self.text() for _ in range(n)], strict=True))
