"""Rows that are no study's own models, in tables and figures: name and label."""

ROWS = {
    "retrieval_random": "Random training crystal of equal stoichiometry",
    "retrieval_mendeleev": "Nearest composition by Mendeleev number",
    "retrieval": "Retrieval by fitted element vectors, votes",
    "retrieval_ranked": "Retrieval, ranked by boosted trees",
    "retrieval_without_formula": "Retrieval, ranked, without the target's formula",
    "prototypes": "Distilled prototypes",
    "retrieval_space_group": "Retrieval, space group given",
    "prototypes_space_group": "Distilled prototypes, space group given",
}
CORRECTOR_ROWS = {
    "corrector": "Retrieval, corrected by a network",
    "corrector_ranked": "Retrieval, chosen and corrected by networks",
    "corrector_space_group": "Chosen and corrected, space group given",
}
UNCONDITIONAL_ROWS = {
    "unimat_drawn": "UniMat, composition drawn first",
    "unimat_drawn_free": "UniMat, composition drawn first, orbits left free",
    "unimat_drawn_symmetric": "UniMat, composition and orbits drawn first",
    "unimat_drawn_diffusion": "UniMat, composition drawn first, by diffusion",
    "unimat_drawn_once": "UniMat, composition drawn first, near atoms kept",
    "unimat_drawn_unsettled": "UniMat, composition drawn first, not settled",
    "unimat_settled": "UniMat, settled by a denoiser",
    "unimat_1000": "UniMat, a thousand crystals",
    "unimat_drawn_1000": "UniMat, composition drawn first, a thousand crystals",
    "exchanged": "Training crystals with elements exchanged",
}
