"""How much a busy core slows training: one small model, alone and beside a process that spins, for several ways to use threads.

    python benchmarks/contention.py [--steps 60]

Needs the demo's tensors (`crystalgen run representations -p study=demo`). Prints seconds and the ratio busy / idle of one run.
"""

import argparse
import os
import subprocess
import sys
import time

from crystalgen.utils import paths

TRAIN = """
import sys, tempfile, time
from pathlib import Path
from crystalgen.config import load_study
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.train import train
model = load_study("demo").models["matrix_generation_flow_uniform"]
steps, threads, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
settings = model.training.model_copy(update={"steps": steps, "threads": threads, "report_every": steps})
data = MatrixData(file)
start = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    train(lambda: model.net.build(data.codec), model.objective.build(), data, settings, 0, Path(folder) / "0.pt", "")
print(time.perf_counter() - start)
"""
WAYS = {  # name: threads and what OpenMP is told
    "two threads": (2, {}),
    "two threads, passive": (2, {"OMP_WAIT_POLICY": "PASSIVE"}),
    "two threads, short spin": (2, {"GOMP_SPINCOUNT": "2000"}),
    "one thread": (1, {}),
}


def seconds(steps: int, threads: int, environment: dict[str, str], busy: bool) -> float:
    """Return the time of one training in a process of its own."""
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        time.sleep(0.5)
        command = [sys.executable, "-c", TRAIN, str(steps), str(threads), str(paths.tensors("demo", "matrix"))]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        done = subprocess.run(command, capture_output=True, text=True, env=clean | environment, check=True)
        return float(done.stdout.split()[-1])
    finally:
        if spin:
            spin.kill()


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    print(f"{'way':28}{'idle s':>8}{'busy s':>8}{'busy / idle':>13}")
    for name, (threads, environment) in WAYS.items():
        idle, busy = (seconds(steps, threads, environment, busy) for busy in (False, True))
        print(f"{name:28}{idle:8.1f}{busy:8.1f}{busy / idle:13.2f}", flush=True)


if __name__ == "__main__":
    main()
