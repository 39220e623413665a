"""Put the embedded library into the wheel: in a checkout it lies in data/library, where the pipeline builds it."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

LIBRARY = ("crystals.parquet", "recipe.yaml", "record.json")


class BuildWithLibrary(build_py):
    """Copy data/library beside the code that reads it; an editable install finds it in the checkout."""

    def run(self) -> None:
        """Build as setuptools does, then copy."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "crystalgen" / "library" / "data"
            target.mkdir(parents=True, exist_ok=True)
            for name in LIBRARY:
                copyfile(Path("data/library") / name, target / name)


setup(cmdclass={"build_py": BuildWithLibrary})
