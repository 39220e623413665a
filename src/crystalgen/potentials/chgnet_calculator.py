"""CHGNet as an ASE calculator for relaxations: energy, forces and stress of one backward pass."""

import copy

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from chgnet.model import CHGNet
from chgnet.model.model import BatchedGraph
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.potentials.chgnet_layers import split_layers


class CHGNetForces(Calculator):
    """CHGNet without magnetic moments, in less than half the time of the package's calculator (`benchmarks/physics.py`).

    That one goes backward once for forces and once for stress, and records both to be differentiated again, which training wants and
    a relaxation does not; and its layers multiply what could be multiplied once (`chgnet_layers`).
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, model: CHGNet):
        super().__init__()
        self.model = split_layers(copy.deepcopy(model)).requires_grad_(False)

    def calculate(self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes) -> None:
        """Set results: energy in eV, forces in eV/Å, stress in eV/Å^3 as a 3 x 3 matrix."""
        super().calculate(atoms, properties, system_changes)
        model, count = self.model, len(self.atoms)
        graph = model.graph_converter(AseAtomsAdaptor.get_structure(self.atoms))
        bases = {"bond_basis_expansion": model.bond_basis_expansion, "angle_basis_expansion": model.angle_basis_expansion}
        batch = BatchedGraph.from_graphs([graph], **bases, compute_stress=True)
        per_atom = model._compute(batch)["e"]
        gradient, virial = torch.autograd.grad(per_atom.sum() * count, [batch.atom_positions[0], batch.strains[0]])
        elements = model.composition_model([graph])  # the linear part, which no position changes
        energy = float(per_atom + elements) * count
        stress = virial / batch.volumes[0]
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": -gradient.numpy(),
            "stress": stress.detach().numpy(),
        }
