"""Pages made again of what is committed, without a model at hand, and their index."""

import shutil

import pytest
from conftest import ROOT

from crystalgen.report.study_pages import write_index, write_run, write_study_page
from crystalgen.utils import paths

STUDY = "carbon_24_demo"


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """The report and figures of a committed study, in a repository of their own."""
    for name in ("reports", "figures"):
        shutil.copytree(ROOT / name / STUDY, tmp_path / name / STUDY)
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    (tmp_path / "reports" / STUDY / "index.html").unlink()
    return tmp_path / "reports"


def test_a_page_is_made_again_of_committed_files(committed):
    page = write_study_page(STUDY)
    text = page.read_text()
    first = page.read_bytes()
    assert write_study_page(STUDY).read_bytes() == first
    assert "hardware.cores" in text and "val loss" in text, "its result cards"
    assert text.count('class="turn"') == 1
    write_run(STUDY, [{"model": "unimat", "seconds": [1.0]}], ["a shortfall <new>"])
    assert "a shortfall &lt;new&gt;" in write_study_page(STUDY).read_text()


def test_what_is_missing_is_named_with_what_makes_it(committed):
    (committed / STUDY / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match=f"run.json: missing; `make reproduce STUDIES={STUDY}`"):
        write_study_page(STUDY)


def test_the_index_lists_pages_and_answers(committed):
    assert "No study has a report yet" in write_index().read_text()
    write_study_page(STUDY)
    (committed / "generated/Ta1B2").mkdir(parents=True)
    (committed / "generated/Ta1B2/index.html").write_text("an answer")
    text = write_index().read_text()
    assert f'href="{STUDY}/index.html"' in text and "Carbon-24, demo" in text
    assert 'href="generated/Ta1B2/index.html"' in text
    assert "0.625" in text, "the first rows of its headline"
