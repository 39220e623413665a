"""Headless Chromium for tests that look at pages as a reader does; without it they are skipped, with a reason."""

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
QUIET = [f"--disable-{name}" for name in ("background-networking", "component-update", "sync", "quic")]


@contextmanager
def open_page(width: int = 1200, height: int = 900):
    """A page of a new browser; what went wrong in it stands in its list `problems`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-first-run", *QUIET])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        yield page
        browser.close()


def colors_in(picture) -> int:
    """Different colours in a screenshot: a handful in an empty view, hundreds where shaded atoms are drawn."""
    return len(np.unique(np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3), axis=0))
