"""Write reports/STUDY/metrics.json of those rows of a study that were evaluated, where the stage `results` would need all of them.

`python benchmarks/evaluated_rows.py STUDY`
"""

import sys

from crystalgen.crystals import read_crystals
from crystalgen.metrics.study_results import collect_metrics
from crystalgen.utils import paths
from crystalgen.utils.files import write_json


def main() -> None:
    study = sys.argv[1]
    metrics = collect_metrics(study, read_crystals(paths.crystals(study)))
    write_json(metrics, paths.REPORTS / study / "metrics.json")
    for key, entry in metrics.items():
        if key.endswith(".match_rate"):
            print(f"{key}: {entry['value']:.4f} [{entry['low']:.3f}, {entry['high']:.3f}], n = {entry['n']}")


if __name__ == "__main__":
    main()
