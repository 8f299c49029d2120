"""The pages in a real browser: what a controller, an auditor and an accountant come for, and whether everybody can use them."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from axe_core_python.selenium import Axe
from openpyxl import load_workbook
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from sqlalchemy import Engine

from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, parties, payment, prepaid, promotion, service, usage
from tests.serving import MakeApp, served
from web.access import keys

CHROME, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROME and DRIVER), reason="Debian's chromium and chromium-driver are not installed"
)
PAGES = (
    "/", "/journal", "/reports", "/reports/revenue-waterfall", "/reports/trial-balance", "/reports/ar-aging", "/customers",
    "/customers/globex", "/contracts/C", "/exports", "/close", "/audit", "/rules", "/docs", "/entries/2", "/invoices/I",
    "/documents/invoice/I", "/documents/export/TM-us-2026-01", "/ledger/us/accounts_receivable", "/find?q=u", "/sign-in",
    "/receivables", "/taxes", "/figure?role=revenue&side=credit", "/ledger/us/accounts_receivable?as_of=2026-01-31", "/print/invoice/I",
    "/print/statement/globex",
)  # fmt: skip


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1320,900",
    ):
        options.add_argument(argument)
    assert CHROME
    assert DRIVER
    options.binary_location = CHROME
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(tmp_path_factory.mktemp("downloads")),
            "download.prompt_for_download": False,
        },
    )
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@dataclass
class Site:
    """The pages, and a browser at them."""

    url: str
    browser: webdriver.Chrome
    engine: Engine

    def go(self, path: str) -> None:
        self.browser.get(self.url + path)

    def sign_in(self, role: str, name: str) -> None:
        with self.engine.begin() as connection:
            key = keys.create(connection, name, role, "tester")
        self.browser.delete_all_cookies()
        self.go("/sign-in")
        self.one("#key").send_keys(key, Keys.ENTER)
        self.until(lambda: "/sign-in" not in self.browser.current_url)

    def one(self, css: str) -> WebElement:
        return WebDriverWait(self.browser, 20).until(lambda browser: browser.find_element(By.CSS_SELECTOR, css))

    def all(self, css: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def link(self, text: str) -> WebElement:
        return WebDriverWait(self.browser, 20).until(lambda browser: browser.find_element(By.LINK_TEXT, text))

    def until(self, holds: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 20, ignored_exceptions=[Exception]).until(lambda _browser: holds())

    def text(self) -> str:
        return self.one("main").text

    def said(self) -> list[dict[str, Any]]:
        """What the browser complains of: a script that fails, a policy that is broken, a file that is missing."""
        return [line for line in self.browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def site(
    unlimited: None, engine: Engine, make_books_app: MakeApp, cli: Cli, driver: webdriver.Chrome
) -> Iterator[Site]:
    cli.post(
        *parties(), grant("G"), promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10", events="meter.csv rows 1-9"), usage("u2", "100.00", "2026-01-20"),
        payment("PAY", "200.00", "2026-01-15", ("I", "200.00")),
        contract("C", "2026-01-01", obligation("C-1", "500.00", "2026-01-01", "2026-06-30")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-02-01", "treatment": "prospective",
         "obligations": [obligation("C-1", "550.00", "2026-01-01", "2026-06-30")], "reason": "more seats"},
    )  # fmt: skip
    app = make_books_app()
    with served(app, threads=4) as address:
        yield Site(address, driver, engine)
        driver.get("about:blank")


def test_a_controller_closes_the_month(site: Site) -> None:
    site.sign_in("controller", "Grace")
    site.link("Close").click()
    assert site.one("h1").text == "Close January 2026"
    waiting = site.one("#checklist li.open")
    assert "Revenue is recognised" in waiting.text
    assert "entries due:" in waiting.text
    site.one("#checklist li.open button").click()
    site.until(lambda: "Recognised through 2026-01:" in site.one("#checklist .said").text)
    assert not site.all("#checklist li.open")
    site.one("#checklist button.main").click()
    site.until(lambda: "2026-01 is closed." in site.one("#checklist .said").text)
    assert "Seal" in site.one("#checklist .said").text or "seal" in site.one("#checklist .said").text
    site.go("/close?month=2026-01")
    assert "✓ closed" in site.text()
    site.link("Audit log").click()
    assert "Grace" in site.text()
    assert "closed 2026-01" in site.text()
    # and opens it again, saying why
    site.go("/close?month=2026-01")
    site.one("#checklist input[name=reason]").send_keys("a late bill", Keys.ENTER)
    site.until(lambda: "2026-01 is open again." in site.one("#checklist .said").text)
    site.go("/close?month=2026-01")
    assert "a late bill" in site.text()
    assert site.said() == []


def test_a_viewer_is_shown_the_checklist_and_no_button(site: Site) -> None:
    site.sign_in("viewer", "Auditor")
    site.go("/close")
    site.until(lambda: "key can run these steps." in site.text())
    assert not site.all("#checklist button")


def test_an_auditor_goes_from_a_figure_to_the_usage_behind_it(site: Site, cli: Cli) -> None:
    cli.ok("recognize", "--through", "2026-01")
    site.sign_in("viewer", "Auditor")
    site.link("Revenue").click()
    figure = site.one("td.num a")
    shown = figure.text
    figure.click()
    assert "/figure?" in site.browser.current_url
    # by hand: 31 of 365 days of 365.00, 31 of 181 days of 500.00, 140.00 of usage, less the 5.00 of it that was given
    assert shown == "251.64"
    assert site.one("h1").text == "251.64 USD"
    amounts = [
        float(cell.text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for cell in site.all("main tbody td.num")
    ]
    assert sorted(amounts) == [-5.00, 5.00, 31.00, 35.00, 35.00, 65.00, 85.64]
    assert round(sum(amounts), 2) == 251.64
    entry = next(row for row in site.all("main tbody tr") if "usage u1" in row.text)
    entry.find_element(By.TAG_NAME, "a").click()
    assert "Prepaid" in site.text() or "prepaid" in site.text()
    assert "ASC 606" in site.text()
    assert site.all("svg.trace")
    site.one("svg.trace a[href*='/documents/usage/u1']").click()
    site.until(lambda: "/documents/usage/u1" in site.browser.current_url)
    assert "meter.csv rows 1-9" in site.text()
    assert site.said() == []


def test_an_accountant_downloads_the_workbook(site: Site, cli: Cli, tmp_path: Path) -> None:
    cli.ok("recognize", "--through", "2026-01")
    site.sign_in("viewer", "Accountant")
    site.link("Exports").click()
    assert "No export was kept yet" in site.text()
    site.browser.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    site.link("The workbook").click()
    path = tmp_path / "tickmark-us.xlsx"
    site.until(path.exists)
    assert {"Cover", "Checks", "Trial balance", "Journal"} <= set(load_workbook(path, read_only=True).sheetnames)


def test_a_controller_writes_an_export_from_the_page(site: Site, cli: Cli, tmp_path: Path) -> None:
    from tests.test_export_objects import mapping

    cli.ok("recognize", "--through", "2026-01")
    site.sign_in("controller", "Grace")
    site.go("/exports")
    Select(site.one("select[name=target]")).select_by_visible_text("quickbooks")
    site.one("input[type=file]").send_keys(mapping(tmp_path, "quickbooks", 'objects = "all"'))
    site.one("input[name=new]").click()
    site.one("form[action='/exports'] button").click()
    site.until(lambda: site.one("#job").text.strip() and "…" not in site.one("#job").text)
    assert "ties to the trial balance" in site.one("#job").text
    assert site.one("#job a").text == "quickbooks.json"
    site.go("/exports")
    assert "Exports of us for quickbooks" in site.text()
    assert "nothing is new" in site.text()
    assert site.said() == []


def test_a_contract_shows_its_versions_side_by_side(site: Site) -> None:
    site.sign_in("viewer", "Auditor")
    site.go("/contracts/C")
    first, second = (cell.text for cell in site.all("main section:first-of-type tbody td"))
    assert first.startswith("500.00 USD")
    assert "1 Jan 2026 to 30 Jun 2026" in first
    assert second.startswith("550.00 USD")
    assert "prospective from 1 Feb 2026" in second


def test_a_customer_follows_a_link_to_its_own_page(site: Site, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKMARK_SECRET_KEY", "k" * 32)
    site.browser.delete_all_cookies()
    path = cli.ok("link", "globex", "--entity", "us", "--url", site.url).strip().removeprefix(site.url)
    site.go(f"{path}?month=2026-01")
    assert "Globex" in site.one("h1").text
    assert not site.all("nav")
    assert "140" in site.one("tfoot").text
    wrong = Axe().run(site.browser, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})["violations"]
    assert [one["id"] for one in wrong] == []
    assert site.said() == []


def test_a_table_sorts_filters_copies_and_is_kept_as_shown(site: Site, cli: Cli, tmp_path: Path) -> None:
    cli.post(*({"type": "customer", "id": f"c{n}", "name": f"Customer {n}"} for n in range(3)),
             invoice("B", "2026-01-02", service("1000.00", "2026-01-02", "2026-01-02"), customer="c1"),
             invoice("A", "2026-01-02", service("9.00", "2026-01-02", "2026-01-02"), customer="c2"))  # fmt: skip
    site.sign_in("viewer", "Accountant")
    site.go("/reports/ar-aging")
    due = next(header for header in site.all("thead th") if header.text == "Due")

    def column() -> list[str]:
        place = [header.text.rstrip(" ↑↓") for header in site.all("thead th")].index("Due")
        return [row.find_elements(By.TAG_NAME, "td")[place].text for row in site.all("tbody tr") if row.is_displayed()]

    due.find_element(By.TAG_NAME, "button").click()
    # by what they are worth, not as text: "1,000.00" is more than "9.00"
    assert column() == ["9.00", "265.00", "1,000.00"]
    assert due.get_attribute("aria-sort") == "ascending"
    due.find_element(By.TAG_NAME, "button").click()
    assert column() == ["1,000.00", "265.00", "9.00"]
    site.one(".tools input").send_keys("c2")
    assert column() == ["9.00"]
    assert site.one(".tools .muted").text == "1 of 3"
    assert not site.one("tfoot").is_displayed()  # a total is of all rows
    site.browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    site.one(".tools button").click()
    site.until(lambda: site.one(".tools button").text == "Copied")
    copied = site.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied.splitlines()[1].split("\t")[0] == "c2"
    assert "9.00" in copied
    assert "1,000.00" not in copied
    # as it is shown: one row of three, days as they sort, amounts as numbers
    site.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    for button in site.all(".tools button")[1:]:
        button.click()
    csv, xlsx = tmp_path / "receivables-by-age.csv", tmp_path / "receivables-by-age.xlsx"
    site.until(lambda: csv.exists() and csv.stat().st_size > 0 and zipfile.is_zipfile(xlsx))
    header, row = csv.read_text(encoding="utf-8").splitlines()
    assert header.split(",")[:4] == ["Customer", "Invoice", "Currency", "Issued"]
    # due the day it was issued, 18 days before the last day of the books
    assert row == "c2,A,USD,2026-01-02,2026-01-02,18,0,9.00,0,0,0,9.00"
    sheet = openpyxl.load_workbook(xlsx).active
    assert [cell.value for cell in sheet[2]] == ["c2", "A", "USD", "2026-01-02", "2026-01-02", 18, 0, 9, 0, 0, 0, 9]
    assert sheet.max_row == 2
    assert site.said() == []


def test_keys_work_everywhere(site: Site) -> None:
    site.sign_in("viewer", "Auditor")
    site.one("body").send_keys("/")
    assert site.browser.switch_to.active_element.get_attribute("name") == "q"
    site.browser.switch_to.active_element.send_keys("I", Keys.ENTER)
    site.until(lambda: "q=I" in site.browser.current_url or "/invoice/I" in site.browser.current_url)
    site.go("/rules")
    site.one("body").send_keys("?")
    assert site.one("dialog[open]").text.startswith("Keys")
    site.one("dialog button").click()
    site.one("body").send_keys("c")
    site.until(lambda: site.browser.current_url.endswith("/customers"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_page(site: Site, cli: Cli, scheme: str) -> None:
    """axe-core finds nothing: WCAG 2.2 A and AA, on every page, light and dark."""
    cli.ok("recognize", "--through", "2026-01")
    site.sign_in("controller", "Grace")
    site.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    axe = Axe()
    found = {}
    for path in PAGES:
        site.go(path)
        if path == "/close":
            site.until(lambda: "Revenue is recognised" in site.text())
        wrong = axe.run(site.browser, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})["violations"]
        if wrong:
            found[path] = [
                (one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]][:3]) for one in wrong
            ]
    assert found == {}
    assert site.said() == []


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_every_page_fits_its_screen(site: Site, cli: Cli, width: int) -> None:
    """Nothing but a table scrolls sideways."""
    cli.ok("recognize", "--through", "2026-01")
    site.sign_in("viewer", "Auditor")
    site.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    wide = {}
    for path in PAGES:
        site.go(path)
        # against the width asked for: a small screen may lay a page out wider, and show it smaller; once it is laid out
        beyond = 1
        for _ in range(20):
            beyond = site.browser.execute_script(f"return document.documentElement.scrollWidth - {width}")
            if beyond <= 0:
                break
            time.sleep(0.1)
        if beyond > 0:
            wide[path] = beyond
    site.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == {}


def test_the_first_page_is_small_and_asks_nobody_else(site: Site) -> None:
    site.sign_in("viewer", "Auditor")
    site.browser.execute_cdp_cmd("Network.enable", {})
    site.browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    site.go("/")

    def sizes() -> dict[str, int]:
        found: dict[str, int] = site.browser.execute_script(
            "return Object.fromEntries([...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
            ".map(entry => [entry.name, entry.transferSize]))"
        )
        return found

    # the page, its style, and both scripts: whole, not from a cache
    site.until(
        lambda: (
            {"/", "/static/tickmark.css", "/static/htmx.min.js", "/static/tickmark.js"}
            <= {name.removeprefix(site.url) for name in sizes()}
        )
    )
    measured = sizes()
    site.browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    assert all(name.startswith(site.url) for name in measured)
    assert min(measured.values()) > 300, measured  # an answer without a body has as much
    assert sum(measured.values()) < 150_000
