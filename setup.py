"""Put what a request needs into the wheel: in a checkout, the pipeline builds data/library and data/shipped holds what took hours."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

LIBRARY = ("crystals.parquet", "recipe.yaml", "record.json")
GENERATOR = "mp_20_generator/models/generator"
SHIPPED = (
    "materials_project/single_points.parquet",
    *(f"{GENERATOR}/{name}" for name in ("model.json", "scales.safetensors", "card.json", "weights/42.safetensors")),
)


class BuildWithData(build_py):
    """Copy data beside the code that reads it; an editable install finds it in the checkout."""

    def run(self) -> None:
        """Build as setuptools does, then copy."""
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "crystalgen"
            for source, target, names in (("library", "library/data", LIBRARY), ("shipped", "shipped", SHIPPED)):
                for name in names:
                    (package / target / name).parent.mkdir(parents=True, exist_ok=True)
                    copyfile(Path("data") / source / name, package / target / name)


setup(cmdclass={"build_py": BuildWithData})
