"""The types of objects that are decoded: what their blobs hold, field by field."""

from etendue.neutrino.sources.icecube.layout import Layout
from etendue.neutrino.sources.icecube.layouts import data, detector, fits, simulation

#: Layouts by the name that a type is registered under.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout for module in (data, simulation, detector, fits) for layout in module.LAYOUTS
}
