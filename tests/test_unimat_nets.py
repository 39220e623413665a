"""UniMat's networks: what they see, what they do not see, and what sampling gives."""

import math

import numpy as np
import pytest
import torch

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import NULL
from crystalgen.generative.jobs import load_data
from crystalgen.generative.nets.scores import SPREAD, null_scores, residual, settled
from crystalgen.generative.objectives.settings import Diffusion
from crystalgen.generative.settings import UniMatModel
from crystalgen.represent.generate import sample_row
from crystalgen.represent.tensors import save_tensors, unimat_tensors

NETS = {
    "dense": {"name": "unet3d", "scores": True, "channels": 8, "multipliers": [1, 2], "heads": 2},
    "places": {"name": "places", "channels": 16, "blocks": 2},
    "elements": {"name": "places", "token": "element", "scores": True, "waves": 2, "channels": 16, "blocks": 2},
    "residual": {"name": "places", "token": "element", "scores": True, "skips": True, "residual": True, "channels": 16, "blocks": 2},
    "skipping": {"name": "places", "token": "element", "scores": True, "skips": True, "channels": 16, "blocks": 2},
}
ITEMS = torch.tensor([1, 5, 40])


@pytest.fixture
def table(crystals):
    splits = np.resize(np.array(["train", "train", "val", "train", "test"], dtype=object), len(crystals))
    return crystals.assign(split=splits)


@pytest.fixture
def made(table, tmp_path):
    """Network (weights all random, none zero), data and model of given settings."""
    save_tensors(unimat_tensors(table), tmp_path / "u.safetensors")

    def make(net, **settings):
        sampling = {"row": {"sampler": "ddim", "steps": 4, "count": 5, "max_targets": 3, "per_target": 2}}
        objective = {"name": "diffusion", "prediction": "sample", "clip": 1.0}
        spec = {"net": NETS[net], "input": settings, "objective": objective, "training": {"steps": 1}, "sampling": sampling}
        model = UniMatModel.model_validate(spec)
        data = load_data(model, tmp_path / "u.safetensors")
        torch.manual_seed(0)
        built = model.net.build(data.codec)
        for parameter in built.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return built.eval(), data, model

    return make


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("cell", ["channels", "token"])
@pytest.mark.parametrize("composition", ["none", "type", "exact"])
def test_a_network_answers_in_the_shape_it_was_asked_in(made, net, cell, composition):
    built, data, _ = made(net, cell=cell, composition=composition, conditions=("formation_energy_per_atom", "space_group"))
    batch = data.batch(ITEMS)
    out = built(batch.x, torch.rand(3), batch.condition)
    assert out.shape == batch.x.shape and torch.isfinite(out).all() and out.abs().sum() > 0


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("cell", ["channels", "token"])
def test_places_that_are_known_to_be_empty_are_not_heard(made, net, cell):
    built, data, _ = made(net, cell=cell, composition="exact")
    batch = data.batch(ITEMS)
    t = torch.rand(3)
    coordinates, parameters = data.codec.layout.split(batch.x)
    noisy = torch.where(batch.condition["places"][:, None], coordinates, torch.randn(coordinates.shape))
    out = (built(x, t, batch.condition) for x in (batch.x, data.codec.layout.join(noisy, parameters)))
    weighed = [part * (batch.weight > 0) for part in out]
    torch.testing.assert_close(*weighed)


@pytest.mark.parametrize("net", NETS)
def test_a_crystals_answer_does_not_depend_on_its_batch(made, net):
    built, data, _ = made(net, composition="exact")
    batch, t = data.batch(ITEMS), torch.tensor([0.1, 0.5, 0.9])
    together = built(batch.x, t, batch.condition)
    for i in range(len(ITEMS)):
        alone = built(batch.x[i : i + 1], t[i : i + 1], {name: value[i : i + 1] for name, value in batch.condition.items()})
        torch.testing.assert_close(alone[0] * (batch.weight[i] > 0), together[i] * (batch.weight[i] > 0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_conditions_are_heard_where_known_and_only_there(made, net):
    built, data, _ = made(net, conditions=("formation_energy_per_atom",))
    batch, t = data.batch(ITEMS), torch.full((3,), 0.5)
    known = batch.condition | {"energy_known": torch.ones(3, dtype=torch.bool)}
    unknown = batch.condition | {"energy_known": torch.zeros(3, dtype=torch.bool)}
    other = {"energy": batch.condition["energy"] + 1}
    assert not torch.allclose(built(batch.x, t, known), built(batch.x, t, known | other))
    assert torch.equal(built(batch.x, t, unknown), built(batch.x, t, unknown | other))


@pytest.mark.parametrize("net", NETS)
def test_a_composition_given_exactly_is_what_comes_out_always(made, net, table):
    """Even of a network that never learnt anything."""
    built, data, model = made(net, composition="exact", cell="token")
    samples, record, requests = sample_row("row", Model(model, data.codec, {1: built}), model.sampling["row"], data, table)
    assert record["requested"] == len(requests) == 6 and requests["target_id"].nunique() == 3
    asked = samples.merge(requests, on="request")["target_id_x"].map(table.set_index("id")["formula"])
    assert len(samples) > 0 and samples["formula"].tolist() == asked.tolist()


@pytest.mark.parametrize("net", NETS)
def test_a_composition_given_by_type_lets_no_other_element_in(made, net, table):
    built, data, model = made(net, composition="type")
    samples, _, _ = sample_row("row", Model(model, data.codec, {1: built}), model.sampling["row"], data, table)
    numbers = table.set_index("id")["atomic_numbers"]
    for got, target in zip(samples["atomic_numbers"], samples["target_id"], strict=True):
        assert set(got) <= set(numbers[target])
    assert len(samples) > 0


def test_elements_that_are_surely_absent_cost_nothing_and_come_out_as_null(made):
    built, data, _ = made("skipping", cell="token")
    seen = []
    built.blocks[0].register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    batch, t = data.batch(ITEMS), torch.full((3,), 0.05)
    noise = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0))
    at = [np.cos(0.05 * np.pi / 2) * batch.x + np.sin(0.05 * np.pi / 2) * noise, noise]
    late = built(at[0], t, {})
    elements = [len(set(data.tensors["place"][i][data.tensors["place"][i] >= 0].tolist())) for i in ITEMS]
    assert max(seen) <= max(elements) + 1  # and the cell
    coordinates, _ = data.codec.layout.split(late)
    held, _ = data.codec.layout.split(batch.x)
    empty = (held[:, :, :1] == NULL).expand_as(held)  # no atom in the first layer: none of the element
    assert (coordinates[empty & data.codec.used] == NULL).all()
    built.skips = False
    whole = built(at[1], torch.full((3,), 0.99), {})
    built.skips = True
    torch.testing.assert_close(built(at[1], torch.full((3,), 0.99), {}), whole, atol=1e-4, rtol=1e-4)  # in pure noise nothing is sure


def test_the_transformer_sees_atoms_and_no_empty_place(made):
    """Its cost follows the longest crystal of a batch, not the table."""
    built, data, _ = made("places", composition="exact", cell="token")
    seen = []
    built.blocks[0].register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    batch = data.batch(ITEMS)
    built(batch.x, torch.rand(3), batch.condition)
    longest = int(batch.condition["places"].flatten(1).sum(dim=1).max())
    assert seen == [longest + 1] and longest < data.codec.layout.places


def test_a_noisy_null_atom_scores_its_noise_at_every_level():
    """With the schedule's own noise: the score is the noise that was added, whatever the time; an atom stands out at small noise."""
    objective = Diffusion(train_steps=1024, schedule="cosine_log_snr").build()
    null = torch.full((500, 3, 2, 1, 1), NULL)
    x_t, t, noise, _ = objective.corrupt(null, {}, torch.Generator().manual_seed(0))
    middle = (t > 0.1) & (t < 0.99)
    torch.testing.assert_close(null_scores(x_t, t)[middle], noise[middle], atol=0.05, rtol=0.02)
    low = torch.full((500,), 0.1)
    assert (null_scores(torch.full_like(null, 0.0), low) > 5).all()
    assert null_scores(torch.full_like(null, 0.9), low * 0.01).max() == 10


@pytest.mark.parametrize("t", [0.02, 0.1, 0.5, 0.9])
def test_a_residual_of_0_is_what_noisy_data_are_on_average_and_its_unit_is_what_that_leaves_open(t):
    """Of normal data of the spread the posterior is known: its mean is a residual of 0, its deviation one of 1."""
    generator = torch.Generator().manual_seed(0)
    data, noise = SPREAD * torch.randn(200_000, 1, generator=generator), torch.randn(200_000, 1, generator=generator)
    x, times = math.cos(t * math.pi / 2) * data + math.sin(t * math.pi / 2) * noise, torch.full((200_000,), t)
    mean = residual(torch.zeros_like(x), x, times)
    assert float((data - mean).mean()) == pytest.approx(0, abs=3e-3)
    assert float(((data - mean) * x).mean()) == pytest.approx(0, abs=3e-3), "nothing of the noisy data tells more"
    unit = residual(torch.ones_like(x), x, times) - mean
    assert float((data - mean).std()) == pytest.approx(float(unit[0]), rel=0.01)
    objective = Diffusion(train_steps=1024, schedule="cosine_log_snr", prediction="sample", weighting="noise").build()
    scale = objective.path(noise[:1], data[:1], torch.tensor([round(t * 1024)])).scale
    assert float(scale * unit[0]) == pytest.approx(1.0, rel=0.05), "errors of every level count alike"


def test_an_atom_is_answered_beside_where_it_is_surely_seen_and_null_where_it_surely_is_not():
    answer, places = torch.full((2, 3, 3, 1, 1), 0.7), torch.full((2, 3, 3, 1, 1), NULL)
    places[:, :, 0], places[:, :, 1] = 0.3, 0.9
    t = torch.tensor([0.01, 0.97])
    signal = torch.cos(t * math.pi / 2).view(-1, 1, 1, 1, 1)
    meant = settled(answer, signal * places, t)
    assert (meant[0, :, 2] == NULL).all() and torch.allclose(meant[0, :, :2], places[0, :, :2], atol=0.02)
    assert not torch.equal(meant[0, :, :2], places[0, :, :2]), "the answer says what to add"
    assert torch.equal(meant[1], answer[1]), "in noise the answer is the data"


@pytest.mark.parametrize("composition", ["none", "exact"])
def test_near_the_data_a_network_that_answers_residuals_answers_what_it_sees(made, composition):
    """Whatever its weights; one that answers the data itself may say anything."""
    off = {}
    for name in ("residual", "skipping"):
        net, data, _ = made(name, cell="token", composition=composition)
        batch = data.batch(ITEMS)
        answer = net(batch.x, torch.full((3,), 0.002), batch.condition).detach()
        (found, cell), (places, own) = data.codec.layout.split(answer), data.codec.layout.split(batch.x)
        used = batch.condition["places"] if composition == "exact" else net.used.expand(3, -1, -1, -1)
        off[name] = max(float(((found - places).abs() * used[:, None]).max()), float((cell - own).abs().max()))
    assert off["residual"] < 0.05 < off["skipping"]
