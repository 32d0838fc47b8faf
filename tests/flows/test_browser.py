"""A run started in the Prefect UI, as a person does it: `make ui`, a browser, the deployment `evaluate`, Run."""

import shutil

import pytest
from dvc.repo import Repo

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.flows.made_ui import made_ui

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
DAG = """
stages:
  evaluate:
    cmd: >-
      echo '{"tiny":{"nmse_db":-3.5}}' > m.json
    deps: [source.txt]
    metrics: [m.json: {cache: false}]
  register:
    cmd: cp m.json registered.json
    deps: [m.json]
    outs: [registered.json]
  report:
    cmd: cp m.json report.html
    deps: [m.json]
    outs: [report.html]
"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(DRIVER is None, reason="chromedriver is not installed"),
]


@pytest.fixture
def address(tmp_path):
    """`make ui` in a tiny project."""
    (tmp_path / "dvc.yaml").write_text(DAG)
    (tmp_path / "source.txt").touch()
    Repo.init(str(tmp_path), no_scm=True).close()
    with made_ui(tmp_path) as (prefect, _):
        yield prefect


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    options.add_argument("--window-size=1400,1000")
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def click(browser, xpath, seconds=30):
    element = WebDriverWait(browser, seconds).until(lambda driver: driver.find_element(By.XPATH, xpath))
    WebDriverWait(browser, 10).until(lambda _: element.is_displayed() and element.is_enabled())
    browser.execute_script("arguments[0].click()", element)


def quick_run(browser, attempts=4):
    """Start the deployment shown and open its run; once more where nothing has started (a busy server answers 503)."""
    for attempt in range(attempts):
        click(browser, "//button[normalize-space()='Run']")
        click(browser, "//button[normalize-space()='Quick run']")
        try:
            return click(browser, "//a[contains(@href, '/runs/flow-run/')]", seconds=15)
        except TimeoutException:
            browser.refresh()
            if attempt == attempts - 1:
                raise


def test_evaluate_is_started_from_the_ui_and_completes(address, browser, tmp_path):
    browser.get(f"{address}/deployments")
    click(browser, "//a[normalize-space()='evaluate']")
    quick_run(browser)
    WebDriverWait(browser, 30).until(lambda driver: "/runs/flow-run/" in driver.current_url)
    badge = "//*[contains(@class, 'badge') and normalize-space()='Completed']"
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.XPATH, badge))
    assert (tmp_path / "registered.json").read_text() == '{"tiny":{"nmse_db":-3.5}}\n'
