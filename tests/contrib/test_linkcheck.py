"""docs/examples/linkcheck from end to end: a site on this host, the pages, and a worker."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.contrib import need
from tests.contrib.running import EXAMPLES, Running, fetch
from tests.support import wait_for

pytestmark = pytest.mark.slow

need("flask")

HERE = EXAMPLES / "linkcheck"
HOSTILE = "/%22%3E<script>alert(1)</script>"
PAGE = f"""
<a href="/ok">fine</a> <a href="gone">not there</a> <a href="/moved">moved</a>
<a href="/ok">again</a> <a href="/get-only">get only</a> <a href="/ok#part">part</a>
<a href="javascript:alert(2)">script</a> <a href="mailto:ada@example.org">mail</a>
<a href='{HOSTILE}'>hostile</a> <a href="/\u202egnp.exe">bidi</a> <a href="http://[::bad">bad</a>
<a href="/to-file">file</a> <a>none</a> <a href="/slow/../ok?x=1&amp;y=2">query</a>
"""


class Site(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        where = {"/moved": "/ok", "/to-file": "file:///etc/passwd"}.get(self.path)
        if where:
            self._answer(302, Location=where)
        elif self.path == "/":
            self._answer(200, PAGE)
        elif self.path == "/many":
            self._answer(200, "".join(f'<a href="/{n}">{n}</a>' for n in range(150)))
        elif self.path == "/huge":
            self._answer(200, " " * (1 << 20) + '<a href="/behind">')
        elif self.path == "/get-only":
            self._answer(405 if self.command == "HEAD" else 200)
        elif self.path.startswith("/ok"):
            self._answer(200)
        else:
            self._answer(404)

    def _answer(self, status: int, text: str = "", **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("linkcheck")
    flask = ("flask", "--app", "linkcheck.app")
    env = {"SPOOLQ_ROOT": str(home / "spool"), "LINKCHECK_ANYWHERE": "yes"}
    web = Running(
        *flask, "run", "--port", "0", cwd=HERE, log=home / "web", says=r"Running on", **env
    )
    worker = Running(
        *flask, "spoolq", "worker", cwd=HERE, log=home / "worker", says="started", **env
    )
    yield web.url
    worker_code = worker.end()
    web.kill()
    assert worker_code == 0
    assert "Traceback" not in worker.log.read_text() + web.log.read_text()


def check(app: str, url: str) -> str:
    """The page with the result of a check."""
    status, text, page = fetch(f"{app}/links", {"url": url})
    assert status == 200
    while 'http-equiv="refresh"' in text:
        threading.Event().wait(0.01)
        status, text, _ = fetch(page)
    assert status == 200
    return text


def rows(text: str) -> dict[str, str]:
    found = re.findall(r"<td>(.*?)</td><td>(.*?)</td>", text)
    return {unescape(link): unescape(answer) for link, answer in found}


def test_says_of_every_link_how_it_was_answered(app: str, site: str) -> None:
    text = check(app, f"{site}/")

    answers = rows(text)
    no_address = "an address begins with http:// or https:// and has a host"
    assert answers == {
        "javascript:alert(2)": no_address,
        "mailto:ada@example.org": no_address,
        "http://[::bad": "this is no address",
        "/to-file": "302",  # not followed
        f"{site}/": "200",
        "/ok": "200",
        "gone": "404",
        "/moved": "200",
        "/get-only": "200",
        "/ok#part": "200",
        HOSTILE: "404",
        "/\\u202egnp.exe": "404",
        "/slow/../ok?x=1&y=2": "200",
    }


def test_shows_links_of_a_stranger_as_text_and_allows_no_script(app: str, site: str) -> None:
    text = check(app, f"{site}/")

    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "\u202e" not in text
    assert re.findall(r'href="(.*?)"', text) == ["/"]


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org", "file:///etc/passwd", "http://", "x" * 3000, "http://a b/"]
)
def test_refuses_what_is_no_address_and_enqueues_nothing(app: str, url: str) -> None:
    status, text, page = fetch(f"{app}/links", {"url": url})

    assert (status, page) == (400, f"{app}/links")
    assert "an address begins with" in text


def test_refuses_a_form_that_is_too_long(app: str) -> None:
    assert fetch(f"{app}/links", {"url": "x" * 20_000})[0] == 413


def test_says_that_a_page_cannot_be_fetched(app: str) -> None:
    assert "could not be checked: [Errno 111] Connection refused" in check(
        app, "http://127.0.0.1:9/"
    )


def test_there_is_no_page_of_a_job_that_is_none_of_its_own(app: str) -> None:
    assert fetch(f"{app}/links/999999")[0] == 404


def test_looks_at_a_hundred_links_at_most(app: str, site: str) -> None:
    assert len(rows(check(app, f"{site}/many"))) == 101


class TestFetching:
    @pytest.fixture
    def fetching(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(str(HERE))
        import linkcheck.fetching  # type: ignore[import-not-found]  # of the example

        monkeypatch.setattr(linkcheck.fetching, "ANYWHERE", True)
        yield linkcheck.fetching
        for name in [name for name in sys.modules if name.startswith("linkcheck")]:
            del sys.modules[name]

    def test_does_not_connect_to_our_own_network(
        self, fetching: Any, site: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetching, "ANYWHERE", False)
        before = len(Site.asked)

        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"):
            url = site.replace("127.0.0.1", host)
            with pytest.raises(fetching.Refused, match="private network"):
                fetching.get(url)
        assert len(Site.asked) == before

    def test_reads_no_more_of_a_page_than_a_mebibyte(self, fetching: Any, site: str) -> None:
        page = fetching.get(f"{site}/huge")

        assert len(page.text) == fetching.MAX_PAGE
        assert fetching.links(page) == []

    def test_reads_nothing_of_what_is_linked_to(self, fetching: Any, site: str) -> None:
        assert fetching.head(f"{site}/huge").text == ""


def test_a_worker_takes_what_was_there_before_it_and_leaves_when_it_idles(
    site: str, tmp_path: Path
) -> None:
    flask = ("flask", "--app", "linkcheck.app")
    env = {"SPOOLQ_ROOT": str(tmp_path / "spool"), "LINKCHECK_ANYWHERE": "yes"}
    from spoolq import Spool

    spool = Spool(env["SPOOLQ_ROOT"])
    job = spool.enqueue("check_links", [f"{site}/ok"])
    worker = Running(
        *flask, "spoolq", "worker", "--idle-exit", "0.2s",
        cwd=HERE, log=tmp_path / "log", says="started", **env,
    )  # fmt: skip
    wait_for(lambda: worker.process.poll() is not None, 30)
    assert worker.process.returncode == 0
    assert job.result(timeout=5) == [[f"{site}/ok", 200, ""]]
