"""A browser of a study's crystals for JupyterLab: filters, a list, and the target beside the generated crystal, by NGL."""

from io import BytesIO, StringIO

import ipywidgets as widgets
import nglview
import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import write

from crystalgen.report.browsing import chosen, shown_crystals
from crystalgen.report.structures import RADIUS_SCALE, crystal_strip, view_rotation
from crystalgen.report.style import PNG_DPI
from crystalgen.report.viewer import cell_edges, closed_cell, element_color

_LISTED = 300  # lines; more are counted, not shown
_EDGE = [0.35, 0.35, 0.35]
_VERDICTS = {"any": None, "match": True, "no match": False}


def closed_cell_pdb(crystal: pd.Series, repeats: int = 1) -> str:
    """Return the closed cell as PDB, turned as in the crystal's picture; of a CIF, NGL would draw atoms outside the cell."""
    lattice = np.asarray(crystal["lattice"], float)
    numbers, places = closed_cell(lattice, crystal["atomic_numbers"], crystal["frac_coords"], (repeats,) * 3)
    text = StringIO()
    write(text, Atoms(numbers, places @ view_rotation(lattice)), format="proteindatabank")
    return text.getvalue()


def structure_view(crystal: pd.Series, repeats: int = 1) -> nglview.NGLWidget:
    """Return a row of the crystals table as a widget to turn: `repeats` cells along each axis, boundary atoms on both sides."""
    lattice = np.asarray(crystal["lattice"], float)
    view = nglview.NGLWidget(nglview.TextStructure(closed_cell_pdb(crystal, repeats), ext="pdb"), default_representation=False)
    view.add_spacefill(radius_type="covalent", radius_scale=RADIUS_SCALE, color_scheme="element")
    for start, end in cell_edges(lattice @ view_rotation(lattice)):
        view.shape.add_cylinder(start.tolist(), end.tolist(), _EDGE, 0.04)
    view.camera = "orthographic"
    view.layout.width, view.layout.height = "100%", "360px"
    view.center()
    return view


class StructureBrowser(widgets.VBox):
    """Filters above a list above the views; a picture below, since a view does not survive in a saved notebook.

    Args:
        table: of `browsing.browsable`.
    """

    def __init__(self, table: pd.DataFrame):
        self._table, self._found = table, table.head(0)
        energies = table["formation_energy_per_atom"].dropna()
        low, high = (float(np.floor(energies.min() * 10) / 10), float(np.ceil(energies.max() * 10) / 10)) if len(energies) else (0.0, 1.0)
        self.formula = widgets.Text(description="Formula", placeholder="B2, or Ta-B for both elements", continuous_update=False)
        self.space_group = widgets.Text(description="Space group", placeholder="number", continuous_update=False)
        self.energies = widgets.FloatRangeSlider(
            value=(low, high), min=low, max=high, step=0.05, description="eV/atom", continuous_update=False
        )
        self.made_by = widgets.Dropdown(options=["all", *table["made_by"].unique()], description="Made by")
        self.matched = widgets.Dropdown(options=list(_VERDICTS), description="Verdict")
        self.repeats = widgets.IntSlider(value=1, min=1, max=3, description="Cells", continuous_update=False)
        self.listing = widgets.Select(options=[], rows=10, layout=widgets.Layout(width="100%"))
        self.count, self.legend = widgets.Label(), widgets.HTML()
        self.views, self.picture = (
            widgets.HBox(),
            widgets.Image(format="png", layout=widgets.Layout(max_width="26rem", object_fit="contain")),
        )
        filters = (self.formula, self.space_group, self.energies, self.made_by, self.matched)
        for control in filters:
            control.observe(self._filter, "value")
        for control in (self.listing, self.repeats):
            control.observe(self._show, "value")
        controls = widgets.HBox([*filters, self.repeats], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([controls, self.count, self.listing, self.legend, self.views, self.picture])
        self._filter()

    def selected(self) -> pd.Series | None:
        """Return the line of the table that is shown."""
        return None if self.listing.value is None else self._found.iloc[self.listing.value]

    def _filter(self, _=None) -> None:
        group, energies = self.space_group.value.strip(), self.energies.value
        if group and not group.isdigit():
            self.count.value = f"Space group {group!r}: expected a number from 1 to 230"
            return
        everything = energies == (self.energies.min, self.energies.max)
        self._found = chosen(
            self._table,
            self.formula.value.strip(),
            int(group) if group else None,
            None if everything else energies,
            None if self.made_by.value == "all" else self.made_by.value,
            _VERDICTS[self.matched.value],
        )
        more = f", the first {_LISTED} are listed" if len(self._found) > _LISTED else ""
        self.count.value = f"{len(self._found)} of {len(self._table)} crystals{more}"
        self.listing.unobserve(self._show, "value")
        self.listing.options = [(_line(row), place) for place, row in enumerate(self._found.head(_LISTED).itertuples())]
        self.listing.value = 0 if len(self._found) else None
        self.listing.observe(self._show, "value")
        self._show()

    def _show(self, _=None) -> None:
        line = self.selected()
        if line is None:
            self.views.children, self.legend.value, self.picture.value = (), "", b""
            return
        crystals = shown_crystals(line)
        boxes = [widgets.VBox([widgets.Label(name), structure_view(crystal, self.repeats.value)]) for name, crystal in crystals.items()]
        for box in boxes:
            box.layout.width = "48%"
        self.views.children = boxes
        self.legend.value = _legend(np.concatenate([crystal["atomic_numbers"] for crystal in crystals.values()]))
        png = BytesIO()
        picture(line).savefig(png, dpi=PNG_DPI, bbox_inches="tight")
        self.picture.value = png.getvalue()


def picture(line: pd.Series):
    """Draw a static figure of what the line shows."""
    crystals = shown_crystals(line)
    return crystal_strip(list(crystals.values()), [f"{crystal['formula']}\n{name}" for name, crystal in crystals.items()])


def _line(row) -> str:
    verdict = "" if row.matched is None else "   match" if row.matched else "   no match"
    energy = "" if np.isnan(row.formation_energy_per_atom) else f"   {row.formation_energy_per_atom:.3f} eV/atom"
    group = "" if pd.isna(row.space_group) else f"   space group {row.space_group}"
    return f"{row.formula}{group}{energy}   {row.made_by}{verdict}"


def _legend(numbers: np.ndarray) -> str:
    dot = '<span style="color:{color}; -webkit-text-stroke: .5px #333; font-size: 1.4em">●</span> {symbol}&ensp;'
    return "".join(dot.format(color=element_color(number), symbol=chemical_symbols[number]) for number in np.unique(numbers))
