"""Packages list what they have, and import it when it is first used."""

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = [
    "etendue", "etendue.iact", "etendue.neutrino", "etendue.neutrino.icecube", "etendue.neutrino.km3net",
    "etendue.store",
]  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_listed_and_there(name):
    package = import_module(name)
    assert package.__all__
    for public in package.__all__:
        assert public in dir(package)
        assert getattr(package, public) is not None
    assert "import_module" not in dir(package)


def test_what_is_not_there_is_an_attribute_error():
    import etendue

    with pytest.raises(AttributeError, match=r"module .etendue\.iact. has no attribute 'Claen'"):
        etendue.iact.Claen  # noqa: B018


def test_registered_stages_are_names_of_their_families():
    """What a pipeline file calls `iact.Clean` is `et.iact.Clean` in a notebook."""
    import etendue
    from etendue.dataflow.registry import registered_stages

    homes = {"iact": etendue.iact, "icecube": etendue.neutrino.icecube, "km3net": etendue.neutrino.km3net}
    homes["neutrino"] = etendue.neutrino
    for reference, stage in registered_stages().items():
        family, _, name = reference.partition(".")
        if stage.__module__.startswith("etendue.") and family in homes:
            assert getattr(homes[family], name) is stage
            assert name in dir(homes[family])


def test_listing_imports_no_compiler():
    code = "import sys, etendue as et; dir(et.iact); dir(et.neutrino.km3net); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
