"""The library's recipe: a mistake in it is named, with the file."""

import pytest
import yaml
from conftest import RECIPE

from crystalgen.library.recipe import load_recipe


@pytest.mark.parametrize("where", [(), ("superstructures",), ("relaxation",)])
def test_a_misspelt_key_of_the_recipe_is_named(tmp_path, where):
    content = yaml.safe_load(RECIPE.read_text())
    inner = content
    for key in where:
        inner = inner[key]
    inner["max_structure"] = 1
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="recipe.yaml.*max_structure"):
        load_recipe(path)


def test_an_error_in_a_recipe_names_the_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("elements: [Ta]\n")
    with pytest.raises(ValueError, match="superstructures") as error:
        load_recipe(path)
    assert str(path) in str(error.value)


def test_the_committed_recipe_loads():
    assert len(load_recipe(RECIPE).elements) >= 10
