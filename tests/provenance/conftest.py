"""A store whose passes the tests ask about: raw files, and what a pipeline made of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import etendue as et

NAMES = ("pyeventio__lst_muons_with_true_photons", "pyeventio__prod4_pixelsettings_v3")


@dataclass(frozen=True)
class Chain:
    """Two raw files, the pass ``raw`` of them, and the pass ``dl1`` of that, in a store of its own."""

    folder: Path

    @property
    def files(self) -> list[str]:
        return [str(path) for path in sorted(self.folder.glob("*.simtel.*"))]

    @property
    def raw(self) -> Path:
        return self.folder / "raw.etendue"

    @property
    def dl1(self) -> Path:
        return self.folder / "dl1.etendue"


@pytest.fixture(scope="session")
def made(shared, tmp_path_factory) -> Chain:
    chain = Chain(tmp_path_factory.mktemp("chain").resolve())
    for name in NAMES:
        (source,) = (shared / "data/simtel").glob(f"{name}*")
        shutil.copy(source, chain.folder)
    et.open(*chain.files, partition_bytes=1_000_000).write(chain.raw, "raw", quiet=True)
    flow = et.open(f"{chain.raw}@raw", partition_bytes=500_000) | et.find_pipeline("iact")
    flow.write(chain.dl1, "dl1", quiet=True)
    return chain


@pytest.fixture
def chain(made, tmp_path) -> Chain:
    """A chain of one's own, to break."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return Chain(tmp_path)
