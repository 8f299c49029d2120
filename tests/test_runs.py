"""Files posted in runs: each run is whole, the file goes on where it stopped, and the books are those of one transaction."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.conftest import Cli, lines
from tests.samples import grant, invoice, parties, prepaid, usage
from web.work import post_file, runs

RUN = 4
HEAD = [*parties(), grant(), invoice("I", "2026-01-01", prepaid("100.00"))]
USED = [usage(f"u{number}", "1.00", f"2026-01-{number + 2:02}") for number in range(13)]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN", RUN)


def _file(folder: Path, *documents: object, name: str = "usage.jsonl") -> str:
    path = folder / name
    path.write_text(lines(documents))
    return str(path)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def _before_run(number: int, happens: Callable[[], None]) -> Iterator[None]:
    """Something happens as a run of a file begins."""
    post, begun = post_file.post_lines, itertools.count(1)

    def posted(*arguments: Any, **more: Any) -> Any:
        if next(begun) == number:
            happens()
        return post(*arguments, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(post_file, "post_lines", posted)
        yield


def test_the_books_are_those_of_one_transaction(cli: Cli, tmp_path: Path) -> None:
    """Thirteen draws of a dollar each; 6 lines of head and 13 of usage are 5 runs of 4 and one of none."""
    told = cli.ok("post", "--in-runs", _file(tmp_path, *HEAD, *USED))
    assert "posted 19 documents" in told
    assert "19 lines in runs of 4" in told
    assert cli.totals()["revenue"] == 13
    cli.ok("verify")
    again = cli.ok("post", "--in-runs", _file(tmp_path, *HEAD, *USED))
    assert "the first 19 lines were posted before" in again
    assert cli.totals()["revenue"] == 13


def test_it_goes_on_where_it_was_stopped(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Killed in its third run: the first two stand, and no line of them is posted, or asked of, again."""
    path = _file(tmp_path, *HEAD, *USED)
    with _before_run(3, _interrupt):
        assert cli.run("post", "--in-runs", path).exit_code != 0
    assert connection.execute(text("select lines, finished from posted_file")).one() == (2 * RUN, False)
    connection.rollback()
    assert cli.totals()["revenue"] == 2
    told = cli.ok("post", "--in-runs", path)
    assert "the first 8 lines were posted before; posted 11 documents" in told
    assert cli.totals()["revenue"] == 13
    cli.ok("verify")


def test_a_bad_line_stops_it_where_it_is(cli: Cli, tmp_path: Path) -> None:
    """Line 12 is bad, in the third run: the first two stand, the third posts nothing, and the mended file goes on."""
    bad = {**USED[5], "quantity": "many"}
    path = _file(tmp_path, *HEAD, *USED[:5], bad, *USED[6:])
    result = cli.run("post", "--in-runs", path)
    assert result.exit_code == 1
    assert "line 12: usage u5: quantity = many" in result.stderr
    assert "1 document refused: lines 1 to 8 are posted, and this posted none from line 9 on" in result.output
    assert cli.totals()["revenue"] == 2
    told = cli.ok("post", "--in-runs", _file(tmp_path, *HEAD, *USED))  # another file now
    assert "posted 11 documents" in told
    assert "8 posted before" in told
    assert cli.totals()["revenue"] == 13


def test_a_bad_line_is_kept_apart(cli: Cli, tmp_path: Path) -> None:
    bad = {**USED[5], "quantity": "many"}
    path = _file(tmp_path, *HEAD, *USED[:5], bad, *USED[6:])
    result = cli.run("post", "--in-runs", "--keep-going", path)
    assert result.exit_code == 1
    assert "posted 18 documents" in result.output
    assert Path(f"{path}.rejects").read_text() == lines([bad])
    assert cli.totals()["revenue"] == 12


def test_blank_lines_and_a_last_line_without_an_end_are_counted(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_text(lines(HEAD) + "\n\n\n" + lines(USED)[:-1])
    cli.ok("post", "--in-runs", str(path))
    assert connection.execute(text("select lines, bytes, finished from posted_file")).one() == (
        22, path.stat().st_size, True,
    )  # fmt: skip
    connection.rollback()
    assert cli.totals()["revenue"] == 13


def test_from_standard_input(cli: Cli) -> None:
    assert "19 lines in runs of 4" in cli.ok("post", "--in-runs", "-", stdin=lines([*HEAD, *USED]))


def _wide(documents: Iterable[object]) -> str:
    """Lines that are longer than what of a file is read ahead."""
    return "".join(line.ljust(io.DEFAULT_BUFFER_SIZE + 1) + "\n" for line in lines(documents).splitlines())


def _wide_file(folder: Path, *documents: object) -> str:
    path = folder / "usage.jsonl"
    path.write_text(_wide(documents))
    return str(path)


def _and_again(cli: Cli, path: str, whole: str) -> None:
    """The file as it was is posted: nothing of it is lost, nor posted twice."""
    Path(path).write_text(whole)
    cli.ok("post", "--in-runs", path)
    assert cli.totals()["revenue"] == len(USED)
    assert "the first 19 lines were posted before" in cli.ok("post", "--in-runs", path)
    cli.ok("verify")


@pytest.mark.parametrize("kept", [10, 12, 0])
def test_a_file_that_gets_shorter_while_it_is_posted_loses_nothing(
    cli: Cli, connection: Connection, tmp_path: Path, kept: int
) -> None:
    """Cut after ten lines, within the third run; after twelve, where that ends; and emptied."""
    path = _wide_file(tmp_path, *HEAD, *USED)
    whole = Path(path).read_text()
    with _before_run(3, lambda: Path(path).write_text("".join(whole.splitlines(keepends=True)[:kept]))):
        told = cli.refused("post", "--in-runs", path)
    assert "expected lines " in told
    assert "as they were at the start; nothing from line " in told
    lines_now, finished = connection.execute(text("select lines, finished from posted_file")).one()
    assert (lines_now, finished) == (12 if kept == 12 else 8, False)
    connection.rollback()
    _and_again(cli, path, whole)


def test_a_file_that_says_something_else_while_it_is_posted_is_refused(cli: Cli, tmp_path: Path) -> None:
    """The same length, another quantity, in a run that is still to come."""
    path = _wide_file(tmp_path, *HEAD, *USED)
    whole = Path(path).read_text()
    other = _wide([*HEAD, *USED[:9], {**USED[9], "quantity": "9.00"}, *USED[10:]])
    with _before_run(3, lambda: Path(path).write_text(other)):
        told = cli.refused("post", "--in-runs", path)
    assert "expected lines 13 to 16 as they were at the start; nothing from line 13 on was posted" in told
    assert cli.totals()["revenue"] == 6
    _and_again(cli, path, whole)


@pytest.mark.parametrize("used", [13, 14])
def test_a_file_that_gets_longer_while_it_is_posted_is_refused(cli: Cli, tmp_path: Path, used: int) -> None:
    """In the middle of a run, and where one ends."""
    more = usage("u13", "1.00", "2026-01-15")
    path = _wide_file(tmp_path, *HEAD, *[*USED, more][:used])
    late = _wide([usage("late", "1.00", "2026-01-20")])
    with _before_run(3, lambda: Path(path).write_text(Path(path).read_text() + late)):
        told = cli.refused("post", "--in-runs", path)
    assert f"expected lines 17 to {used + 6} as they were at the start" in told
    cli.ok("post", "--in-runs", path)
    assert cli.totals()["revenue"] == used + 1


def test_what_is_said_to_be_posted_holds_after_going_on_past_refusals(cli: Cli, tmp_path: Path) -> None:
    """With --keep-going lines beyond the bad one were posted; without, the same file stops there, and says what it did itself."""
    bad = {**USED[5], "quantity": "many"}
    path = _file(tmp_path, *HEAD, *USED[:5], bad, *USED[6:])
    assert cli.run("post", "--in-runs", "--keep-going", path).exit_code == 1
    result = cli.run("post", "--in-runs", path)
    assert "1 document refused: lines 1 to 8 are posted, and this posted none from line 9 on" in result.output
    assert cli.totals()["revenue"] == 12


def test_somebody_else_who_posts_the_same_file_is_noticed(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    path = _file(tmp_path, *HEAD, *USED)

    def further() -> None:
        connection.execute(text("update posted_file set lines = 12"))
        connection.commit()

    with _before_run(3, further):
        result = cli.run("post", "--in-runs", path)
    assert result.exit_code == 1
    assert "expected nobody else to post this file at the same time" in result.stderr
    assert cli.totals()["revenue"] == 2


def test_nothing_is_tried_in_runs(cli: Cli, tmp_path: Path) -> None:
    result = cli.run("post", "--in-runs", "--dry-run", _file(tmp_path, *HEAD))
    assert result.exit_code == 2
    assert "expected one of them" in result.output + result.stderr


def test_the_rest_of_a_line_that_is_too_long_is_no_document(cli: Cli, tmp_path: Path) -> None:
    """The last line of a run is too long, and ends in what would be a document."""
    path = tmp_path / "usage.jsonl"
    hidden = '{"type": "customer", "id": "hidden", "name": "H"}'
    path.write_text(lines(HEAD[:3]) + "x" * post_file._LINE_BYTES_READ + hidden + "\n" + lines([*HEAD[3:], *USED]))
    result = cli.run("post", "--in-runs", "--keep-going", str(path))
    assert "posted 19 documents" in result.output
    assert "line 4: " in result.stderr
    assert "20 lines in runs of 4" in result.output
    assert "expected the id of a customer posted before" in cli.refuse({**USED[0], "id": "h", "customer": "hidden"})


def test_what_was_refused_is_asked_again(cli: Cli, tmp_path: Path) -> None:
    """A document of a customer who is not there yet; once they are, the same file posts it, and says so until then."""
    other = {**USED[0], "id": "other", "customer": "later"}
    path = _file(tmp_path, *HEAD, *USED[:3], other, *USED[3:])
    for _ in range(2):
        result = cli.run("post", "--in-runs", "--keep-going", path)
        assert result.exit_code == 1
        assert Path(f"{path}.rejects").read_text() == lines([other])
    cli.post({"type": "customer", "id": "later", "name": "Later"})
    told = cli.ok("post", "--in-runs", "--keep-going", path)
    assert "the first 8 lines were posted before; posted 1 documents" in told
    assert not Path(f"{path}.rejects").exists()
    cli.ok("verify")


def test_what_was_refused_is_told_again_after_it_was_stopped(cli: Cli, tmp_path: Path) -> None:
    bad = {**USED[0], "quantity": "many"}
    path = _file(tmp_path, *HEAD, bad, *USED[1:])
    with _before_run(4, _interrupt):
        assert cli.run("post", "--in-runs", "--keep-going", path).exit_code != 0
    result = cli.run("post", "--in-runs", "--keep-going", path)
    assert result.exit_code == 1
    assert Path(f"{path}.rejects").read_text() == lines([bad])
    assert cli.totals()["revenue"] == 12


def test_what_the_database_refuses_says_from_where_on(cli: Cli, owner: Connection, tmp_path: Path) -> None:
    owner.exec_driver_sql("alter table document add constraint odd check (ref <> 'u7')")
    owner.commit()
    result = cli.run("post", "--in-runs", _file(tmp_path, *HEAD, *USED))
    assert result.exit_code == 1
    assert "the database refused it, nothing from line 13 on was posted" in result.stderr
    assert cli.totals()["revenue"] == 6
