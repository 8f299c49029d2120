"""What each accounting system is given: read back by itself, held to the trial balance, and judged by what we did not write."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from beancount import loader
from beancount.core import realization
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from adapters.selected.entry import Entry, EntryLine, split
from adapters.selected.mapping import Place
from adapters.targets.journals import account_name
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, payment, prepaid, promotion, service, usage
from tests.test_currencies import EUR, rate

SHARED = Path(__file__).parents[2] / "shared" / "exports"
HLEDGER = shutil.which("hledger")
FORMATS = (
    "quickbooks", "quickbooks-csv", "quickbooks-iif", "zoho", "zoho-csv", "netsuite", "netsuite-rest", "intacct", "xero", "beancount",
    "hledger",
)  # fmt: skip
ZOHO_COLUMNS = """
[[account]]
role = "revenue"
product = "tokens"
account = "Usage"
[columns]
date = "Journal Date"
number = "Reference Number"
account = "Account"
debit = "Debit"
credit = "Credit"
customer = "Contact Name"
"""


def _books(cli: Cli, name: str = "Initech, Inc") -> None:
    """Two customers, two currencies, a claim settled at another rate than it came in at."""
    cli.post(
        *parties(), rate("2026-01-01", "1.0837"), rate("2026-02-10", "1.1001"),
        {"type": "customer", "id": "initech", "name": name},
        {"type": "gl_account", "id": "x", "entity": "us", "role": "revenue", "product": "tokens", "code": "4010", "name": "Usage"},
        grant("G", expires_on="2026-02-28"), promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        invoice("E", "2026-01-05", service("250.10", "2026-01-05", "2026-03-31"), customer="initech") | EUR,
        usage("u1", "40.00", "2026-01-10"), usage("u2", "100.00", "2026-01-20"),
        payment("PAY", "465.00", "2026-01-15", ("I", "465.00"), fee="1.00"),
        payment("PAE", "250.10", "2026-02-10", ("E", "250.10"), customer="initech") | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")


def _mapping(folder: Path, target: str, text: str = "", *, every: bool = True, **account: str) -> str:
    """A mapping file of a target; with `every` role's account named after it."""
    from ledger.accounts.chart import ROLES

    path = folder / f"{target}.toml"
    named = [
        f'[[account]]\nrole = "{role}"\naccount = "{account.get(role, f"N {code.code}")}"\n'
        for role, code in ROLES.items()
    ]
    head, _, rest = text.partition("\n[")
    path.write_text(
        f'target = "{target}"\nentity = "us"\n{head}\n'
        + ("".join(named) if every else "")
        + (f"\n[{rest}" if rest else "")
    )
    return str(path)


def _export(cli: Cli, folder: Path, target: str, *options: str) -> Path:
    path = folder / "out"
    if target == "zoho-csv" and "--mapping" not in options:
        options = (*options, "--mapping", _mapping(folder, target, ZOHO_COLUMNS))
    assert "; ties to the trial balance" in cli.ok("export", target, "--output", str(path), *options)
    return path


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


Found = list[tuple[str, str, Decimal]]


def _read(path: Path, target: str) -> Found:  # noqa: C901, PLR0912 - each format's own reading, nothing of the product's
    """(entry, account, debit less credit) of each line of a file, in the currency it is in."""
    found: Found = []
    if target == "quickbooks":
        for entry in simplejson.loads(path.read_text(), use_decimal=True):
            for line in entry["Line"]:
                detail = line["JournalEntryLineDetail"]
                sign = 1 if detail["PostingType"] == "Debit" else -1
                found.append((entry["DocNumber"], detail["AccountRef"]["value"], sign * line["Amount"]))
    elif target == "zoho":
        for entry in simplejson.loads(path.read_text(), use_decimal=True):
            for line in entry["line_items"]:
                sign = 1 if line["debit_or_credit"] == "debit" else -1
                found.append((entry["reference_number"], line["account_id"], sign * line["amount"]))
    elif target == "netsuite-rest":
        for entry in simplejson.loads(path.read_text(), use_decimal=True):
            for line in entry["line"]["items"]:
                found.append(
                    (entry["externalId"], line["account"]["externalId"], line.get("debit", 0) - line.get("credit", 0))
                )
    elif target == "xero":
        for entry in simplejson.loads(path.read_text(), use_decimal=True)["ManualJournals"]:
            for line in entry["JournalLines"]:
                found.append((entry["Narration"].split(":")[0], line["AccountCode"], line["LineAmount"]))
    elif target == "quickbooks-iif":
        number = ""
        for row in path.read_text(encoding="cp1252").splitlines()[3:]:
            cells = row.split("\t")
            if cells[0] != "ENDTRNS":
                number = cells[7]
                found.append((number, cells[3], Decimal(cells[6])))
    elif target in ("beancount", "hledger"):
        number = ""
        for row in path.read_text().splitlines():
            number = (re.findall(r'number: "([^"]+)"|^\S+ \* \((TM-[^)]+)\)', row) or [(number, "")])[0]
            number = "".join(number)
            posted = re.fullmatch(r" +([A-Z]\S+:\S+) +(-?[0-9.]+) [A-Z]{3}( @@ .*)?( +;.*)?", row)
            if posted:
                found.append((number, posted[1], Decimal(posted[2])))
    else:
        columns = {
            "quickbooks-csv": ("Journal No.", "Account Name", "Debits", "Credits"),
            "zoho-csv": ("Reference Number", "Account", "Debit", "Credit"),
            "netsuite": ("External ID", *(f"Journal Entry - Line: {name}" for name in ("Account", "Debit", "Credit"))),
            "intacct": ("DESCRIPTION", "ACCT_NO", "DEBIT", "CREDIT"),
        }[target]
        number = ""
        for row in _table(path):
            entry, account, debit, credit = (row[name] for name in columns)
            number = entry or number
            found.append((number, account, Decimal(debit or 0) - Decimal(credit or 0)))
    return found


def _trial_balance(cli: Cli) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in cli.report("trial-balance"):
        net = Decimal(row["debit"]) - Decimal(row["credit"])
        if net:
            found[row["code"]] = found.get(row["code"], Decimal(0)) + net
    return found


def _sums(found: Found) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for _, account, net in found:
        sums[account] += net
    return {account: net for account, net in sums.items() if net}


KEPT_APART = {
    "month": "date_trunc('month', effective_on)", "day": "effective_on", "document": "(document_id, effective_on)", "entry": "entry_id",
}  # fmt: skip


@pytest.mark.parametrize("target", FORMATS)
def test_each_format_holds_the_trial_balance(cli: Cli, tmp_path: Path, connection: Connection, target: str) -> None:
    _books(cli)
    expected = _trial_balance(cli)
    for detail, apart in KEPT_APART.items():
        found = _read(_export(cli, tmp_path, target, "--detail", detail), target)
        entries: dict[str, Decimal] = defaultdict(Decimal)
        for number, _, net in found:
            entries[number] += net
        assert set(entries.values()) == {0}
        assert all(number.isascii() and (len(number) <= 21 or target == "intacct") for number in entries)
        assert sorted(_sums(found).values()) == sorted(expected.values())
        if target in ("quickbooks", "zoho", "netsuite-rest", "intacct", "xero"):
            assert _sums(found) == expected
        assert len(entries) == connection.scalar(
            text(
                f"select count(distinct {apart}) from journal_line l join role r on r.name = l.role where r.kind <> 'memorandum'"
            )
        )


JUDGES = [
    ("quickbooks", "check_qbo.py", ["JournalEntry"], "qbo_je_unknownfield.json"),
    ("zoho", "check_openapi.py", ["schemas/zoho-books/journals.yml", "create-a-journal-request"], "zoho_unknown.json"),
    ("xero", "check_openapi.py", ["schemas/xero/xero_accounting.yaml", "ManualJournals"], "xero_status.json"),
    ("netsuite-rest", "", [], "netsuite_je.json"),
]


@pytest.mark.skipif(not SHARED.exists(), reason="the vendors' schemas stay with the vendors")
@pytest.mark.parametrize("amounts", ["functional", "transaction"])
@pytest.mark.parametrize(("target", "judge", "arguments", "bad"), JUDGES, ids=[target for target, *_ in JUDGES])
def test_the_vendors_own_schema_accepts_it(
    cli: Cli, tmp_path: Path, target: str, judge: str, arguments: list[str], bad: str, amounts: str
) -> None:
    _books(cli)
    text = f'detail = "document"\namounts = "{amounts if target != "xero" else "functional"}"\n[fields]\n"currency.EUR" = "4"\n'
    names = {"revenue": "200"} if target != "xero" else None
    from ledger.accounts.chart import ROLES

    mapped = {role: str(number) for number, role in enumerate(ROLES, 100)} | (names or {})
    path = _export(cli, tmp_path, target, "--mapping", _mapping(tmp_path, target, text, **mapped))

    def judged(file: Path) -> bool:
        if not judge:
            from jsonschema import Draft202012Validator

            schema = simplejson.loads((SHARED / "schemas/netsuite/journalEntry.min.schema.json").read_text())
            forms = simplejson.loads(file.read_text())
            return not any(
                # a float is never a whole number of hundredths: 0.1 % 0.01 is not 0
                error.validator != "multipleOf"
                for form in forms
                for error in Draft202012Validator(schema).iter_errors(form)
            )
        places = [str(SHARED / item) if "/" in item else item for item in arguments]
        strict = [] if judge == "check_qbo.py" else ["--strict"]
        command = [sys.executable, str(SHARED / "judges" / judge), *places, str(file), *strict]
        ran = subprocess.run(command, check=False, capture_output=True, text=True)
        sys.stdout.write(ran.stdout + ran.stderr)
        return ran.returncode == 0

    assert judged(path)
    assert not judged(SHARED / "bad" / bad)  # or the judge proves nothing


def _expected_by_name(cli: Cli) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in cli.report("trial-balance"):
        name = account_name(Place(row["code"], row["account"]), row["role"])
        found[name] += Decimal(row["debit"]) - Decimal(row["credit"])
    return {name: net for name, net in found.items() if net}


@pytest.mark.parametrize("amounts", ["functional", "transaction"])
def test_beancount_agrees_account_by_account(cli: Cli, tmp_path: Path, amounts: str) -> None:
    _books(cli, 'Initech "Inc", \\ and; more')
    path = _journal(cli, tmp_path, "beancount", amounts)
    ran = subprocess.run(
        [sys.executable, "-m", "beancount.scripts.check", str(path)], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    entries, errors, _ = loader.load_file(str(path))
    assert errors == []
    held: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        for posting in getattr(entry, "postings", ()):
            weight = posting.price.number * posting.units.number if posting.price else posting.units.number
            held[posting.account] += weight
    if amounts == "functional":
        real = realization.realize(entries)
        for account, net in _expected_by_name(cli).items():
            assert realization.get(real, account).balance.get_currency_units("USD").number == net
    # a price a unit that Beancount works out from what an amount is in all is no exact decimal
    assert {account: round(net, 10) for account, net in held.items() if round(net, 10)} == _expected_by_name(cli)
    path.write_text(path.read_text().replace("365.00 USD", "365.01 USD", 1))
    assert loader.load_file(str(path))[1]


@pytest.mark.skipif(HLEDGER is None, reason="hledger is not installed")
@pytest.mark.parametrize("amounts", ["functional", "transaction"])
def test_hledger_agrees_account_by_account(cli: Cli, tmp_path: Path, amounts: str) -> None:
    assert HLEDGER is not None
    _books(cli, "Initech, Inc; and: more")
    path = _journal(cli, tmp_path, "hledger", amounts)

    def hledger(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([HLEDGER, "-f", str(path), *arguments], check=False, capture_output=True, text=True)

    checked = hledger("check", "--strict", "ordereddates")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    balances = csv.reader(hledger("bal", "-N", "-O", "csv", "--value=cost").stdout.splitlines()[1:])
    found = {account: Decimal(amount.split()[0]) for account, amount in balances}
    assert {account: net for account, net in found.items() if net} == _expected_by_name(cli)
    path.write_text(path.read_text().replace("365.00 USD", "365.01 USD", 1))
    assert hledger("check").returncode != 0


def _journal(cli: Cli, folder: Path, target: str, amounts: str) -> Path:
    if amounts == "functional":
        return _export(cli, folder, target)
    from ledger.accounts.chart import ROLES

    path = folder / "m.toml"
    accounts = "".join(
        f'[[account]]\nrole = "{name}"\naccount = "{role.code}"\n'
        + ('[[account]]\nrole = "revenue"\nproduct = "tokens"\naccount = "4010"\n' if name == "revenue" else "")
        for name, role in ROLES.items()
    )
    path.write_text(f'target = "{target}"\nentity = "us"\ndetail = "entry"\namounts = "transaction"\n{accounts}')
    found = _export(cli, folder, target, "--mapping", str(path))
    assert "250.10 EUR @@ 271.03 USD" in found.read_text()
    return found


def test_entries_go_out_in_their_currency_where_one_rate_gives_what_was_posted(cli: Cli, tmp_path: Path) -> None:
    """250.10 EUR at 1.0837 is 271.03 USD; paid at 1.1001 it is 275.14, and 4.11 are a gain in USD alone."""
    _books(cli)
    mapping = _mapping(tmp_path, "quickbooks", 'detail = "document"\namounts = "transaction"')
    path = _export(cli, tmp_path, "quickbooks", "--mapping", mapping)
    entries = simplejson.loads(path.read_text(), use_decimal=True)
    foreign = [entry for entry in entries if entry["CurrencyRef"]["value"] == "EUR"]
    assert all("ExchangeRate" not in entry for entry in entries if entry not in foreign)
    (bill,) = [entry for entry in foreign if "invoice E," in entry["PrivateNote"]]
    assert (bill["ExchangeRate"], {line["Amount"] for line in bill["Line"]}) == (Decimal("1.0837"), {Decimal("250.10")})
    for entry in foreign:
        cents = [
            round(line["Amount"] * entry["ExchangeRate"], 2)
            * (1 if line["JournalEntryLineDetail"]["PostingType"] == "Debit" else -1)
            for line in entry["Line"]
        ]
        assert sum(cents) == 0
    paid = [entry for entry in entries if "payment PAE," in entry["PrivateNote"]]
    assert {entry["CurrencyRef"]["value"] for entry in paid} == {"USD", "EUR"} or len(paid) == 1


LINES = st.lists(st.integers(1, 10_000), min_size=1, max_size=30)


@given(debits=LINES, credit_parts=LINES, lines_max=st.integers(2, 9))
def test_an_entry_is_split_into_ones_that_balance(debits: list[int], credit_parts: list[int], lines_max: int) -> None:
    difference = sum(debits) - sum(credit_parts)
    nets = [*debits, *(-part for part in credit_parts), *([-difference] if difference else [])]
    lines = tuple(EntryLine(Place(str(n), f"A{n}"), "cash", "", "", net, net) for n, net in enumerate(nets))
    parts = split(Entry("m", "us", date(2026, 1, 31), "USD", "USD", "memo", "2026-01", lines), lines_max)
    assert all(len(part.lines) <= lines_max or len(lines) <= lines_max for part in parts)
    assert all(sum(line.net for line in part.lines) == 0 for part in parts)
    assert all(
        line.net * next(whole.net for whole in lines if whole.place == line.place) > 0
        for part in parts
        for line in part.lines
    )
    sums: dict[str, int] = defaultdict(int)
    for part in parts:
        for line in part.lines:
            sums[line.place.account] += line.net
    assert sums == {str(n): net for n, net in enumerate(nets)}


def test_a_journal_too_long_for_the_target_goes_out_in_parts(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = _export(cli, tmp_path, "netsuite", "--mapping", _mapping(tmp_path, "netsuite", "lines_max = 3"))
    entries: dict[str, list[Decimal]] = defaultdict(list)
    for number, _, net in _read(path, "netsuite"):
        entries[number].append(net)
    assert {"TM-us-2026-01-1", "TM-us-2026-01-2"} <= entries.keys()
    assert all(len(nets) <= 3 and sum(nets) == 0 for nets in entries.values())
    assert "part 1 of" in path.read_text()


def test_accounts_are_mapped_as_narrowly_as_the_file_says(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    mapping = _mapping(
        tmp_path, "quickbooks",
        'detail = "document"\n[[account]]\nrole = "revenue"\nproduct = "tokens"\naccount = "79"\nname = "Usage"\nclass = "AI"\n'
        'department = "7"\n[[account]]\nrole = "accounts_receivable"\ncurrency = "EUR"\naccount = "85"\n'
        '[[customer]]\ncustomer = "globex"\nid = "12"\nname = "Globex Corp"\n',
    )  # fmt: skip
    entries = simplejson.loads(_export(cli, tmp_path, "quickbooks", "--mapping", mapping).read_text())
    lines = [line for entry in entries for line in entry["Line"]]
    details = [line["JournalEntryLineDetail"] for line in lines]
    tokens = next(detail for detail in details if detail["AccountRef"]["value"] == "79")
    del tokens["Entity"]
    assert tokens == {
        "PostingType": "Credit", "AccountRef": {"value": "79", "name": "Usage"}, "ClassRef": {"value": "AI"}, "DepartmentRef": {"value": "7"},
    }  # fmt: skip
    assert {detail["Entity"]["EntityRef"]["value"] for detail in details if "Entity" in detail} == {"12", "initech"}
    receivable = {
        detail["AccountRef"]["value"] for detail in details if detail["AccountRef"]["name"] == "Accounts receivable"
    }
    assert receivable == {"N 1200", "85"}


def test_what_is_not_mapped_is_listed_and_nothing_written(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    path = tmp_path / "out"
    mapping = _mapping(tmp_path, "quickbooks", '[[account]]\nrole = "cash"\naccount = "1"\n', every=False)
    for options in (["--check"], ["--output", str(path)]):
        told = cli.refused("export", "quickbooks", "--mapping", mapping, *options).splitlines()
        # the three months of 365.00 by days and of 250.10 EUR
        expected = "expected an [[account]] of the mapping for it (product seats): used in 6 postings, in EUR, USD"
        assert f"refused: account = revenue: {expected}" in told
        assert [re.findall(r"account = (\w+): .*?(\(product \w+\))?: used", line)[0] for line in told] == [
            ("accounts_receivable", ""), ("customer_balance", ""), ("customer_credits", ""),
            ("deferred_revenue", ""), ("fx_gain", ""), ("processing_fees", ""), ("promotional_credits", ""),
            ("revenue", "(product seats)"), ("revenue", "(product tokens)"), ("unbilled_receivable", ""),
        ]  # fmt: skip
    assert not path.exists()
    told = cli.ok("export", "quickbooks", "--check", "--mapping", _mapping(tmp_path, "quickbooks"))
    assert told == "would write 3 journal entries by month; every account used is mapped\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("target = 1\n", "target = 1: "),
        ("x = [", "expected a TOML file"),
        ('[[account]]\nrole = "cash"\n', "account.0.account = missing"),
        (
            '[[account]]\nrole = "cash"\naccount = "=1+1"\n',
            "account.0.account = =1+1: expected a code without spaces around it",
        ),
        (
            '[[account]]\nrole = "cash"\naccount = "1"\nname = "a\\nb"\n',
            "account.0.name = aU+000Ab: expected text without line breaks",
        ),
        ('[[account]]\nrole = "purse"\naccount = "1"\n', "account.0.role = purse: expected"),
        ('detail = "week"\n', "detail = week: expected"),
        ('colour = "red"\n', "colour = red: unknown field"),
        ('target = "zoho"\n', "target = zoho: expected quickbooks, which is exported"),
        ('entity = "eu"\n', "entity = eu: expected us, which is exported"),
        ('amounts = "transaction"\n', "amounts = transaction: expected with detail entry or document"),
        ('[[account]]\nrole = "cash"\naccount = "1"\n' * 2, "account.1 = cash: expected once: account.0 maps the same"),
        (
            '[[account]]\nrole = "cash"\nproduct = "tokens"\naccount = "1"\n[[account]]\nrole = "cash"\ncurrency = "EUR"\naccount = "2"\n',
            "account.1 = cash: expected it or account.0 to be narrower: some amounts would fit both",
        ),
    ],
    ids=[
        "type",
        "toml",
        "missing",
        "formula",
        "lines",
        "role",
        "detail",
        "unknown",
        "target",
        "entity",
        "amounts",
        "twice",
        "ambiguous",
    ],
)
def test_a_mapping_that_is_wrong_says_where(cli: Cli, tmp_path: Path, text: str, words: str) -> None:
    cli.post(*parties())
    path = tmp_path / "m.toml"
    head = "".join(
        f'{name} = "{value}"\n'
        for name, value in (("target", "quickbooks"), ("entity", "us"))
        if f"{name} =" not in text
    )
    path.write_text(head + text)
    assert words in cli.refused("export", "quickbooks", "--check", "--mapping", str(path))


def test_months_are_exported_as_the_setting_says(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    cli.ok("close", "2026-01")
    closed = _mapping(tmp_path, "quickbooks", 'periods = "closed"')
    told = cli.refused("export", "quickbooks", "--check", "--mapping", closed).splitlines()
    assert [line.removeprefix("refused: ") for line in told] == [
        f"periods = 2026-0{month}: expected a month that is closed, as the mapping says" for month in (2, 3)
    ]
    assert "1 journal entries" in cli.ok("export", "quickbooks", "--check", "--mapping", closed, "--to", "2026-01-31")
    opened = _mapping(tmp_path, "quickbooks", 'periods = "open"')
    assert "2026-01: expected a month that is open" in cli.refused(
        "export", "quickbooks", "--check", "--mapping", opened
    )


def test_what_the_target_has_no_room_for_is_refused_all_at_once(cli: Cli, tmp_path: Path) -> None:
    _books(cli, "x" * 101)
    long = _mapping(tmp_path, "quickbooks", 'detail = "document"', cash="1", revenue="2")
    path = tmp_path / "out"
    path.write_text("an older export")
    told = cli.refused("export", "quickbooks", "--mapping", long, "--output", str(path)).splitlines()
    assert len({line.split(":")[1] for line in told}) == 5  # each document of the customer, and its recognition
    assert all("EntityRef.name = xxx" in line and "Longer than maximum length 100" in line for line in told)
    assert path.read_text() == "an older export"
    assert "Currency, Memo" not in cli.refused(
        "export", "quickbooks-csv", "--output", str(path), "--detail", "document"
    )


def test_quickbooks_desktop_is_told_no_name_it_could_not_match(cli: Cli, tmp_path: Path) -> None:
    _books(cli, "東京 KK")
    path = tmp_path / "out.iif"
    told = cli.refused("export", "quickbooks-iif", "--detail", "document", "--output", str(path))
    assert "customer = 東京 KK: expected letters that Windows' western alphabet has: '東' is not one" in told
    assert not path.exists()
    cli.ok("export", "quickbooks-csv", "--detail", "document", "--output", str(path))
    assert "東京 KK" in path.read_text(encoding="utf-8")


def test_the_command_line_offers_what_there_is() -> None:
    from adapters.out.export import BOOKS, TARGETS
    from web.commands.exports import AS_THEY_ARE, EXPORT_TARGETS

    assert set(AS_THEY_ARE) == set(BOOKS)
    assert set(EXPORT_TARGETS) == {*BOOKS, *TARGETS}


def test_formats_of_one_currency_and_columns_nobody_publishes(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    told = cli.refused(
        "export",
        "xero",
        "--check",
        "--mapping",
        _mapping(tmp_path, "xero", 'detail = "entry"\namounts = "transaction"'),
    )
    assert "amounts = transaction: expected functional: entries of xero are in one currency" in told
    assert "expected a mapping file whose [columns] name date, number" in cli.refused("export", "zoho-csv", "--check")
    told = cli.refused(
        "export",
        "zoho-csv",
        "--check",
        "--mapping",
        _mapping(tmp_path, "zoho-csv", ZOHO_COLUMNS.replace("debit", "colour")),
    )
    assert "columns.debit = missing" in told
    assert (
        "workbook shows the books as they are: expected no --check" in cli.run("export", "workbook", "--check").output
    )


@pytest.mark.parametrize("target", ["quickbooks-csv", "netsuite", "zoho-csv", "quickbooks-iif"])
def test_no_cell_runs_as_a_formula(cli: Cli, tmp_path: Path, target: str) -> None:
    _books(cli, '=HYPERLINK("http://evil")')
    content = _export(cli, tmp_path, target, "--detail", "document").read_text(encoding="cp1252")
    assert "HYPERLINK" in content
    if target != "quickbooks-iif":  # which no spreadsheet opens, and which has no way to quote
        assert re.findall(r'[,"](.)HYPERLINK|(.)=HYPERLINK', content)
        for row in csv.reader(content.splitlines()):
            assert not any(cell[:1] in ("=", "+", "-", "@") for cell in row)
    cli.post({"type": "gl_account", "id": "y", "entity": "us", "role": "cash", "code": "1", "name": "=cmd()"})
    if target in ("quickbooks-csv", "netsuite"):
        told = cli.run("export", target, "--output", str(tmp_path / "x"))
        assert (told.exit_code == 1) == (target == "quickbooks-csv")  # NetSuite's begins with its number


def test_parquet_adds_up_in_another_engine(cli: Cli, tmp_path: Path, connection: Connection) -> None:
    """DuckDB, which knows nothing of us: balanced entry by entry, the trial balance by account, decimals throughout."""
    import duckdb

    _books(cli)
    folder = tmp_path / "warehouse"
    told = cli.ok("export", "parquet", "--output", str(folder))
    assert "; ties to the trial balance" in told
    asked = duckdb.connect()

    def ask(query: str) -> list[Any]:
        return asked.sql(query.replace("FOLDER", str(folder))).fetchall()

    memorandum = ", ".join(
        f"'{name}'" for name in connection.scalars(text("select name from role where kind = 'memorandum'"))
    )
    sides = (
        "(select entry, debit_code as code, functional_amount as net from 'FOLDER/postings.parquet'"
        f" where debit_role not in ({memorandum}) union all"
        f" select entry, credit_code, -functional_amount from 'FOLDER/postings.parquet' where credit_role not in ({memorandum}))"
    )
    assert {code: net for code, net in ask(f"select code, sum(net) from {sides} group by 1") if net} == _trial_balance(
        cli
    )
    assert ask(f"select entry from {sides} group by 1 having sum(net) <> 0") == []
    types = dict(ask("select name, duckdb_type from parquet_schema('FOLDER/postings.parquet')"))
    assert types["amount"] == "DECIMAL(38,4)"
    for name in ("entries", "documents"):
        (kept,) = ask(f"select count(*), count(distinct hash) from 'FOLDER/{name}.parquet'")
        assert kept[0] == kept[1] > 0
    # each entry's postings are in their file, each entry's document in its
    assert ask("select e.entry from 'FOLDER/entries.parquet' e left join 'FOLDER/postings.parquet' p using (entry)"
               " group by e.entry, e.postings having count(p.line) <> e.postings") == []  # fmt: skip
    assert ask("select e.entry from 'FOLDER/entries.parquet' e left join 'FOLDER/documents.parquet' d on d.type = e.document_type"
               " and d.document = e.document where d.type is null") == []  # fmt: skip
    hashes = connection.execute(text("select entry_id, hash from entry")).all()
    assert dict(ask("select entry, hash from 'FOLDER/entries.parquet'")) == {
        entry: bytes(hash_) for entry, hash_ in hashes
    }
    # written again into the same folder, narrowed to a month
    cli.ok("export", "parquet", "--output", str(folder), "--from", "2026-02-01", "--to", "2026-02-28")
    assert ask(
        "select min(effective_on) >= '2026-02-01', max(effective_on) <= '2026-02-28' from 'FOLDER/postings.parquet'"
    ) == [(True, True)]
    told = cli.refused("export", "parquet", "--output", str(tmp_path / "out"), "--from", "2030-01-01")
    assert "expected postings to export; none match" in told
    assert sorted(file.name for file in tmp_path.iterdir()) == ["warehouse"]


def test_a_folder_does_not_take_a_files_place(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    (tmp_path / "x").write_text("mine")
    assert "expected a folder: there is a file of that name" in cli.refused(
        "export", "revenue-data", "--output", str(tmp_path / "x")
    )


def test_without_pyarrow_it_says_what_to_install(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _books(cli)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'tickmark[parquet]'" in cli.refused("export", "parquet", "--output", str(tmp_path / "x"))


def test_the_general_ledger_for_auditors_is_complete_and_balanced(cli: Cli, tmp_path: Path) -> None:
    _books(cli, "Initech | Inc")
    manual = {"type": "manual_entry", "id": "m", "entity": "us", "currency": "USD", "date": "2026-02-03", "reason": "because",
              "approved_by": "Ann", "lines": [{"debit": "bad_debt", "credit": "opening_balances", "amount": "1.00"}]}  # fmt: skip
    rule = {"type": "approval_rule", "id": "R", "entity": "us", "kinds": ["manual_entry"], "source": "tester", "currency": "USD",
            "limit": "1.00", "date": "2026-01-01", "until": "2199-12-31", "approved_by": "Ann"}  # fmt: skip
    cli.post(manual, rule, {key: value for key, value in manual.items() if key != "approved_by"} | {"id": "by rule"})
    path = tmp_path / "gl.txt"
    cli.ok("export", "audit-gl", "--output", str(path))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="|"))
    by_entry: dict[str, Decimal] = defaultdict(Decimal)
    by_account: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        amount = Decimal(row["Functional_Amount"])
        assert (amount >= 0) == (row["Amount_Credit_Debit_Indicator"] == "D") or amount == 0
        by_entry[row["Journal_ID"]] += amount
        by_account[row["GL_Account_Number"]] += amount
    assert set(by_entry.values()) == {0}
    assert {code: net for code, net in by_account.items() if net} == _trial_balance(cli)
    numbers = [(row["Journal_ID"], row["Journal_ID_Line_Number"]) for row in rows]
    assert len(set(numbers)) == len(numbers)  # the standard's key
    approved = {row["JE_Header_Description"]: row["Approved_By"] for row in rows if row["Approved_By"]}
    assert approved == {"manual_entry m": "Ann", "manual_entry by rule": "approval_rule R"}
    euros = [row for row in rows if row["Amount_Currency"] == "EUR" and row["Amount"] == "250.10"]
    assert {row["Functional_Amount"] for row in euros} <= {"271.03", "275.14"}
    assert {(row["Fiscal_Year"], row["Accounting_Period"]) for row in rows} == {
        ("2026", "1"),
        ("2026", "2"),
        ("2026", "3"),
    }


@pytest.mark.parametrize(
    ("day", "start", "fiscal"),
    [
        ("2026-01-31", 1, (2026, 1)),
        ("2026-01-31", 2, (2026, 12)),
        ("2026-02-01", 2, (2027, 1)),
        ("2026-12-31", 7, (2027, 6)),
    ],
)
def test_fiscal_periods(day: str, start: int, fiscal: tuple[int, int]) -> None:
    from adapters.targets.audit import _fiscal

    assert _fiscal(date.fromisoformat(day), start) == fiscal


def test_revenue_data_has_a_row_a_line_with_contract_and_product(cli: Cli, tmp_path: Path) -> None:
    _books(cli)
    cli.post(
        {"type": "contract", "id": "K", "customer": "globex", "entity": "us", "currency": "USD", "signed_on": "2026-03-01",
         "obligations": [{"id": "K/o", "product": "seats", "price": "12.00", "start": "2026-03-01", "end": "2026-03-31"}]},
        invoice("KI", "2026-03-01", {"id": "1", "kind": "service", "amount": "12.00", "obligation": "K/o"}),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    folder = tmp_path / "data"
    cli.ok("export", "revenue-data", "--output", str(folder))
    lines = _table(folder / "journal_lines.csv")
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in lines:
        sums[row["account"]] += Decimal(row["functional_amount"]) * (1 if row["side"] == "debit" else -1)
    assert {code: net for code, net in sums.items() if net} == _trial_balance(cli)
    assert len({row["id"] for row in lines}) == len(lines)
    earned = [
        row
        for row in lines
        if row["contract"] == "K" and row["data_type"].startswith("recognise.") and row["side"] == "credit"
    ]
    assert [(row["product"], row["amount"], row["date"]) for row in earned] == [("seats", "12.00", "2026-03-31")]
    billed = {(row["invoice"], row["line"]): row for row in _table(folder / "invoice_lines.csv")}
    assert (billed["KI", "1"]["contract"], billed["I", "2"]["start"], billed["I", "2"]["end"]) == (
        "K",
        "2026-01-01",
        "2026-12-31",
    )
    assert sum(Decimal(row["amount"]) for row in billed.values() if row["currency"] == "USD") == Decimal("477.00")
