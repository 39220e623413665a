"""Pairs of polymorphs: who is paired with whom, how often, and that no formula is on two sides (B §2.2)."""

import itertools

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from crystalgen.config import Filter
from crystalgen.datasets.polymorphs import filter_polymorphs
from crystalgen.datasets.splits import split_by_formula
from crystalgen.generative.data.format import HELD_OUT, TEST, TRAIN, VAL
from crystalgen.generative.data.pairs import PairData, _triangular
from crystalgen.represent.tensors import matrix_tensors, save_tensors

SIZES = [9, 7, 40, 12, 7, 30, 8, 2, 1, 11, 25]
SIDES = [TRAIN, VAL, TRAIN, TEST, HELD_OUT, TRAIN, VAL, TRAIN, TRAIN, TRAIN, TEST]


@pytest.fixture(autouse=True)
def _one_thread():
    """Thousands of tiny sorts: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_set(pairs: torch.Tensor) -> set[tuple[int, int]]:
    return set(map(tuple, pairs.tolist()))


@pytest.fixture
def make(tmp_path):
    """Pair data of groups of the given sizes, their members scattered over the rows of the file."""

    def make(sizes=SIZES, sides=None, per_group=16, energies=None) -> PairData:
        rng = np.random.default_rng(0)
        group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
        count = len(group)
        numbers = np.zeros((count, 6), np.uint8)
        numbers[:, 0], numbers[:, 1] = 1 + group % 100, 5
        tensors = {
            "x": rng.random((count, 6, 3), dtype=np.float32) * (numbers[:, :, None] > 0),
            "atomic_numbers": numbers,
            "nsites": np.full(count, 2, np.float32),
            "space_group": rng.integers(1, 231, count),
            "energy": (rng.normal(size=count) if energies is None else np.asarray(energies)[group]).astype(np.float32),
            "split": np.asarray([TRAIN] * len(sizes) if sides is None else sides)[group],
            "group": group,
            "lattice_mean": np.zeros((3, 3), np.float32),
            "lattice_std": np.full((3, 3), 2.0, np.float32),
            "energy_mean": np.array([-5.0], np.float32),
            "energy_std": np.array([0.4], np.float32),
            "element_properties": np.zeros((104, 22), np.float32),
            "operations": np.zeros((231, 192, 4, 4), np.float32),
        }
        tensors["x"][:, -3:] = rng.random((count, 3, 3))
        save_file(tensors, tmp_path / "pairs.safetensors")
        return PairData(tmp_path / "pairs.safetensors", per_group=per_group)

    return make


def ladder(data: PairData, group: int) -> list[int]:
    """Rows of a group, S_0 first."""
    t = data.tensors
    rows = torch.nonzero(t["group"] == group).flatten()
    return sorted(rows.tolist(), key=lambda r: t["energy"][r].item())


# What is validated and tested


@pytest.mark.parametrize("split", [TRAIN, VAL, TEST, HELD_OUT])
def test_items_are_each_crystal_with_the_lowest_of_its_formula(make, split):
    data = make(sides=SIDES)
    expected = set()
    for group, side in enumerate(SIDES):
        lowest, *others = ladder(data, group)
        expected |= {(other, lowest) for other in others if side == split}
    items = data.items(split)
    assert as_set(items) == expected
    assert len(items) == len(expected)


def test_a_side_without_pairs_has_no_items(make):
    data = make([4, 1], [TRAIN, VAL])
    for split in (VAL, TEST):
        assert data.items(split).shape == (0, 2)


# An epoch


@pytest.mark.parametrize("per_group", [1, 3, 16, 1000])
def test_an_epoch_has_as_many_lowest_pairs_as_others_and_no_formula_too_many(make, per_group):
    data = make(sides=SIDES, per_group=per_group)
    rank = {row: i for g in range(len(SIZES)) for i, row in enumerate(ladder(data, g))}
    drawn = data.epoch(seeded())
    group = data.tensors["group"]
    assert torch.equal(group[drawn[:, 0]], group[drawn[:, 1]])
    for number, (size, side) in enumerate(zip(SIZES, SIDES, strict=True)):
        ranks = [(rank[i], rank[j]) for i, j in drawn[group[drawn[:, 0]] == number].tolist()]
        assert all(i > j for i, j in ranks), "the input lies higher than the target"
        lowest, others = [r for r in ranks if r[1] == 0], [r for r in ranks if r[1] > 0]
        wanted = min(per_group, size - 1, (size - 1) * (size - 2) // 2) if side == TRAIN else 0
        assert len(lowest) == len(others) == wanted


@pytest.mark.parametrize("per_group", [3, 16])
def test_no_pair_is_drawn_twice_in_an_epoch(make, per_group):
    data = make(per_group=per_group)
    for seed in range(20):
        drawn = data.epoch(seeded(seed))
        assert len(as_set(drawn)) == len(drawn)


def test_a_generator_decides_its_epoch_and_the_next_is_another(make):
    data = make(sides=SIDES, per_group=4)
    generator = seeded(1)
    first, second = data.epoch(generator), data.epoch(generator)
    assert torch.equal(data.epoch(seeded(1)), first)
    assert len(second) == len(first), "always as many"
    shared = as_set(first) & as_set(second)
    assert len(shared) < 0.6 * len(first), "other pairs, not another order"


def test_an_epoch_is_shuffled(make):
    data = make([30] * 8)
    group = data.tensors["group"][data.epoch(seeded())[:, 0]]
    neighbours = (group[1:] == group[:-1]).float().mean()
    assert neighbours < 0.3, "of 8 groups, an eighth of neighbours share theirs"


@pytest.mark.parametrize(("size", "per_group"), [(9, 5), (8, 7), (12, 3)])
def test_over_the_epochs_every_pair_is_drawn_as_often_as_any_other(make, size, per_group):
    data, epochs = make([size, 4], per_group=per_group), 1000
    rank = {row: i for i, row in enumerate(ladder(data, 0))}
    counts = dict.fromkeys(itertools.combinations(range(size), 2), 0)
    generator = seeded(3)
    for _ in range(epochs):
        for i, j in data.epoch(generator).tolist():
            if i in rank:
                counts[rank[j], rank[i]] += 1
    for kind, wanted in ((lambda j: j == 0, per_group / (size - 1)), (lambda j: j > 0, per_group / ((size - 1) * (size - 2) / 2))):
        seen = np.array([count for (j, _), count in counts.items() if kind(j)]) / epochs
        spread = np.sqrt(wanted * max(1 - wanted, 0.05) / epochs)
        assert np.abs(seen - wanted).max() < 5 * spread
        assert seen.mean() == pytest.approx(wanted)


def test_a_lone_crystal_has_no_pair_and_two_are_a_pair_for_validation_alone(make):
    """Two polymorphs have no pair (S_i, S_j) with i > j > 0, so an epoch that balances both kinds leaves them out."""
    data = make([1, 2, 3])
    lowest, other = ladder(data, 1)
    assert as_set(data.items(TRAIN)) == {(other, lowest)} | {(row, ladder(data, 2)[0]) for row in ladder(data, 2)[1:]}
    for seed in range(5):
        drawn = data.epoch(seeded(seed))
        assert len(drawn) == 2 and set(drawn.flatten().tolist()) <= set(ladder(data, 2))


def test_polymorphs_of_one_energy_still_make_all_their_pairs(make):
    data = make([5], energies=[-1.0])
    assert len(as_set(data.items(TRAIN))) == 4
    assert len(data.items(TRAIN)[:, 1].unique()) == 1
    drawn = as_set(data.epoch(seeded()))
    assert not any((j, i) in drawn for i, j in drawn)


# The number of a pair


def test_triangular_numbers_name_the_pairs_in_order():
    expected = [(i, j) for i in range(2, 120) for j in range(1, i)]
    i, j = _triangular(torch.arange(len(expected)))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected


@pytest.mark.parametrize("row", [70, 10**4, 2**20, 2**26 + 1, 94_906_266])
def test_triangular_numbers_are_right_where_the_root_is_rounded(row):
    first = row * (row - 1) // 2
    numbers = torch.tensor([first - 1, first, first + row - 1, first + row])
    i, j = _triangular(numbers)
    assert i.tolist() == [row, row + 1, row + 1, row + 2]
    assert j.tolist() == [row - 1, 1, row, 1]


# What a network is given


def test_a_pair_asks_for_the_targets_symmetry_and_the_step_in_energy(make):
    data = make(sides=SIDES)
    items = data.items(TEST)[[3, 0, 17]]
    initial, target = items.unbind(dim=1)
    t, batch = data.tensors, data.batch(items)
    expected = (t["energy"][target] - t["energy"][initial]) / 0.4
    torch.testing.assert_close(batch.condition["energy_difference"], expected)
    assert (expected < 0).all() and batch.condition["energy_difference_known"].all() and "energy" not in batch.condition
    assert torch.equal(batch.condition["space_group"], t["space_group"][target])
    assert torch.equal(batch.condition["atomic_numbers"], t["atomic_numbers"][target].long())
    assert torch.equal(batch.condition["start"], data.x[initial])
    assert torch.equal(batch.x, data.x[target]) and torch.equal(batch.weight, data.weight[target])
    lattice = t["x"][initial][:, -3:] / 2 ** (1 / 3) / 2.0 * 12**-0.5 + 0.5
    torch.testing.assert_close(batch.condition["start"][:, -3:], lattice)
    assert torch.equal(batch.condition["start"][:, :2], t["x"][initial][:, :2])


# The library


@pytest.fixture(scope="module")
def real(_library, tmp_path_factory):
    """The library as the pipeline filters and splits it."""
    crystals, _ = filter_polymorphs(_library, Filter())
    crystals = split_by_formula(crystals, hold_out=("Ta-W-B",))
    path = tmp_path_factory.mktemp("library") / "matrix.safetensors"
    save_tensors(matrix_tensors(crystals), path)
    return crystals, PairData(path, per_group=16)


def test_pairs_of_the_library_stay_within_a_formula_and_a_side(real):
    crystals, data = real
    formula, split = crystals["formula"].to_numpy(), crystals["split"].to_numpy()
    energy = crystals["formation_energy_per_atom"].to_numpy()
    lowest = crystals.groupby("formula")["formation_energy_per_atom"].transform("min").to_numpy()
    sides = {"train": TRAIN, "val": VAL, "test": TEST, "held_out": HELD_OUT}
    reduced = {}
    for name, code in sides.items():
        i, j = data.items(code).numpy().T
        assert (formula[i] == formula[j]).all()
        assert set(split[i]) == set(split[j]) == {name}
        assert (energy[j] == lowest[j]).all() and (energy[i] >= energy[j]).all()
        on_side = crystals[crystals["split"] == name]
        assert len(i) == len(on_side) - on_side["formula"].nunique(), "all of them"
        reduced[name] = set(on_side["reduced_formula"])
    assert not any(reduced[a] & reduced[b] for a, b in itertools.combinations(sides, 2))


def test_an_epoch_of_the_library_trains_on_its_training_side_in_equal_parts(real):
    crystals, data = real
    energy = crystals["formation_energy_per_atom"].to_numpy()
    lowest = crystals.groupby("formula")["formation_energy_per_atom"].transform("min").to_numpy()
    i, j = data.epoch(seeded()).numpy().T
    assert set(crystals["split"].to_numpy()[i]) == set(crystals["split"].to_numpy()[j]) == {"train"}
    assert (crystals["formula"].to_numpy()[i] == crystals["formula"].to_numpy()[j]).all()
    assert (energy[i] >= energy[j]).all()
    assert (energy[j] == lowest[j]).mean() == pytest.approx(0.5, abs=0.02), "a second polymorph may tie with the first"
    assert crystals["formula"].iloc[i].value_counts().max() <= 2 * data.per_group
