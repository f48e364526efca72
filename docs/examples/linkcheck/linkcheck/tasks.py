"""What is done in the background."""

from linkcheck.fetching import MAX_URL, Refused, absolute, get, head, links
from spoolq import Cancel, Job, Spool

spool = Spool()

Line = tuple[str, int | None, str]
"""A link as it stands on the page; the status it was answered with, or None and the reason."""


@spool.task(takes_context=True, timeout=300)
def check_links(job: Job, url: str) -> list[Line]:
    """Whether the links of this page work. Nothing is changed anywhere, so it may run again."""
    try:
        page = get(url)
    except Refused as reason:
        raise Cancel(str(reason)) from None
    lines: list[Line] = [(url, page.status, "")]
    found = links(page)
    for number, link in enumerate(found):
        job.check_cancelled()
        job.progress(number, len(found))
        try:
            lines.append((link[:MAX_URL], head(absolute(page, link)).status, ""))
        except Refused as reason:
            lines.append((link[:MAX_URL], None, str(reason)))
    return lines
