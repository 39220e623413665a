"""What a person does after `make reproduce`: the tour, the browser in JupyterLab, crystals asked for. Skipped where no model is trained."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import nbformat
import pandas as pd
import pytest
from browser_case import colors_in, open_page
from conftest import ROOT

from crystalgen.experiments.trained import trained_study
from crystalgen.utils import paths

SCREENSHOTS = ROOT / "reports" / "screenshots"  # looked at by people, kept by nobody


@pytest.fixture(scope="module")
def study():
    try:
        return trained_study()
    except (ValueError, FileNotFoundError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def judged(study):
    """A study whose samples were judged too: `crystalgen use-shipped` brings weights alone."""
    if not any((paths.PROCESSED / study / "evaluation").rglob("verdicts.parquet")):
        pytest.skip(f"{study} has weights and no judged samples; `make reproduce` makes some")
    return study


def executed(name: str, folder, **parameters) -> nbformat.NotebookNode:
    given = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / f"{name}.ipynb"), str(folder / f"{name}.ipynb")]
    command += ["-k", "python3", "--no-progress-bar", "--cwd", str(ROOT), *given]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CRYSTALGEN_ROOT": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def test_the_tour_is_walked(study, tmp_path):
    notebook = executed("tour", tmp_path, study=study, own="NaCl")
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "matrix there and back: True" in text and "periodic table there and back: True" in text
    assert pictures(notebook) == 3
    assert any("NGLWidget" in str(output) for cell in notebook.cells for output in cell.get("outputs", []))


def test_a_notebook_of_structures_keeps_its_pictures(judged, tmp_path):
    assert pictures(executed("browse", tmp_path, study=judged)) == 2


def test_crystals_asked_for_come_within_a_minute(study, tmp_path):
    command = [sys.executable, "-m", "crystalgen", "generate", "Ta1W1B3", "--study", study, "-n", "8", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert 0 < len(table) <= 8 and all((tmp_path / file).is_file() for file in table["file"])


@pytest.fixture(scope="module")
def lab(study, tmp_path_factory):
    """A JupyterLab server on the notebooks; yields its address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = tmp_path_factory.mktemp("lab")
    environment = {
        **os.environ,
        "CRYSTALGEN_ROOT": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
    }
    options = ["--no-browser", f"--port={port}", "--ServerApp.root_dir=.", "--IdentityProvider.token=", "--allow-root"]
    log = (state / "log").open("w")
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{address}/api")
                break
            except OSError:
                assert server.poll() is None, (state / "log").read_text()[-2000:]
        yield address
    finally:
        server.terminate()
        server.wait()


def test_the_browser_draws_in_jupyterlab(lab, judged):
    """Run all cells of `browse`; the list filters, and the views hold drawn atoms."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with open_page(1400, 1100) as page:
        page.goto(f"{lab}/lab/tree/notebooks/browse.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('[data-command="runmenu:run-all"]').click()
        page.locator("select[size]").wait_for(state="attached", timeout=180_000)
        made = page.locator(".widget-dropdown select").first
        made.scroll_into_view_if_needed()
        made.select_option(index=2)
        canvas = page.locator(".jp-OutputArea canvas")
        canvas.nth(1).wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        shown = page.locator(".widget-label", has_text=re.compile(r"^\d+ of \d+ crystals")).first.inner_text()
        assert int(shown.split()[0]) < int(shown.split()[2]), shown
        news = page.get_by_role("button", name="No", exact=True)
        if news.count():
            news.first.click()
        canvas.first.scroll_into_view_if_needed()
        canvas.first.screenshot(path=SCREENSHOTS / "view.png")
        page.screenshot(path=SCREENSHOTS / "browser.png")
        assert colors_in(SCREENSHOTS / "view.png") > 100, "atoms are drawn"
