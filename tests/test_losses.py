"""The mean squared error of crystals of many lengths; losses of positions are in test_pbc_losses.py."""

import pytest
import torch

from crystalgen.generative.losses import weighted_mse


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_loss_of_equal_weights_is_the_mean_squared_error():
    prediction, target = torch.randn(5, 4, 3), torch.randn(5, 4, 3)
    expected = torch.nn.functional.mse_loss(prediction, target)
    for weight in (torch.ones(1), torch.full((5, 4, 3), 0.25), torch.ones(5, 4, 1)):
        torch.testing.assert_close(weighted_mse(prediction, target, weight), expected)


def test_the_loss_ignores_what_stands_in_padding():
    prediction, target = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    weight = torch.ones(2, 6, 3)
    weight[:, 4:] = 0
    before = weighted_mse(prediction, target, weight)
    prediction[:, 4:], target[:, 4:] = 1e6, -3.0
    assert weighted_mse(prediction, target, weight) == before


@pytest.mark.parametrize("padding", [1, 10, 60])
def test_the_loss_does_not_depend_on_the_amount_of_padding(padding):
    prediction, target, weight = torch.randn(3, 5, 3), torch.randn(3, 5, 3), torch.rand(3, 5, 3)
    more = torch.zeros(3, padding, 3)
    longer = [torch.cat([t, more], dim=1) for t in (prediction, target, weight)]
    torch.testing.assert_close(weighted_mse(*longer), weighted_mse(prediction, target, weight))


def test_a_long_crystal_counts_as_a_short_one():
    target = torch.zeros(2, 8, 3)
    prediction, weight = torch.zeros_like(target), torch.zeros_like(target)
    weight[0, :8], weight[1, :2] = 1.0, 1.0
    prediction[0, :8], prediction[1, :2] = 1.0, 3.0
    assert weighted_mse(prediction, target, weight).item() == pytest.approx((1 + 9) / 2)
