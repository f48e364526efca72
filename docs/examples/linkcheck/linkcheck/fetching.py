"""Fetching pages that strangers have named: little of each, soon, and none of our own network."""

import http.client
import ipaddress
import os
import socket
import urllib.error
import urllib.request
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

TIMEOUT = 10  # seconds without a byte
MAX_PAGE = 1 << 20  # bytes of a page that are read
MAX_LINKS = 100  # of a page that are looked at
MAX_URL = 2000  # characters
KEPT = "/%:=&?~+!$,;'@()*[]"  # what has a meaning in an address beside letters and digits

ANYWHERE = os.environ.get("LINKCHECK_ANYWHERE") == "yes"
"""Whether addresses of our own network may be fetched too: for tests, and inside of a firewall."""


class Refused(Exception):
    """An address that is not fetched."""


class Answer(NamedTuple):
    """What a server said: the status, where that was after redirections, and the text of a page."""

    status: int
    url: str
    text: str = ""


def check_url(url: str) -> str:
    """The address as it is asked for: without what is around it, and what no address holds as %XX.

    Raises Refused for what cannot be fetched.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    host_is_clean = usable and parts.netloc.isprintable() and " " not in parts.netloc
    if not host_is_clean or len(url) > MAX_URL:
        raise Refused("an address begins with http:// or https:// and has a host")
    path, query = quote(parts.path, safe=KEPT), quote(parts.query, safe=KEPT)
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def get(url: str) -> Answer:
    """The page at this address. Raises Refused."""
    return _ask("GET", url)


def head(url: str) -> Answer:
    """Whether there is something at this address, without reading it. Raises Refused."""
    answer = _ask("HEAD", url)
    return _ask("GET", url) if answer.status in {405, 501} else answer


def links(page: Answer) -> list[str]:
    """The addresses a page links to, as they stand there, each once, in their order."""
    finder = _Finder()
    finder.feed(page.text)
    return list(dict.fromkeys(finder.found))[:MAX_LINKS]


def absolute(page: Answer, link: str) -> str:
    """The address that a link on this page means. Raises Refused."""
    try:
        return check_url(urljoin(page.url, link))
    except ValueError:
        raise Refused("this is no address") from None


def _ask(method: str, url: str) -> Answer:
    asked = urllib.request.Request(  # noqa: S310  # check_url has looked at the scheme
        check_url(url), method=method, headers={"User-Agent": "linkcheck (an example of spoolq)"}
    )
    try:
        with _opener.open(asked, timeout=TIMEOUT) as answer:
            text = ""
            if method == "GET" and answer.headers.get_content_type() == "text/html":
                charset = answer.headers.get_content_charset() or "utf-8"
                text = _decode(answer.read(MAX_PAGE), charset)
            return Answer(answer.status, answer.url, text)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.url or url)
    except urllib.error.URLError as error:
        raise Refused(str(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from None


def _decode(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset, "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _connect(
    address: tuple[str, int], timeout: float, source: tuple[str, int] | None = None
) -> socket.socket:
    """Connect to the very address that was looked at: a name may mean another one later."""
    host, port = address
    problem: OSError = OSError(f"{host} has no address")
    for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not ANYWHERE and not ipaddress.ip_address(str(place[0])).is_global:
            problem = OSError(f"{host} is in a private network")
            continue
        try:
            return socket.create_connection((str(place[0]), port), timeout, source)
        except OSError as error:
            problem = error
    raise problem


class _Connection(http.client.HTTPConnection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._create_connection = _connect


class _SafeConnection(http.client.HTTPSConnection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._create_connection = _connect


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request):
        return self.do_open(_Connection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request):
        return self.do_open(_SafeConnection, request)


def _make_opener() -> urllib.request.OpenerDirector:
    """Without what `build_opener` brings: files, FTP, and proxies that fetch in our place."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Http(),
        _Https(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


_opener = _make_opener()


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(href)
