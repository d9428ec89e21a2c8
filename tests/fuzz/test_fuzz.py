"""The site holds, whatever is sent to it by whom: `python -m tests.fuzz` sends more."""

import sys
from collections.abc import Iterator

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException

from tests.forms import Form
from tests.fuzz.answers import Site
from tests.fuzz.cast import Visitor
from tests.fuzz.options import CHUNK, CHUNK_REQUESTS, REQUESTS, SEED
from tests.fuzz.sent import Sent, requests
from tests.fuzz.targets import addresses, forms_for
from tests.plugin import ON_POSTGRESQL

#: Findings after which there is enough to do.
ENOUGH = 8


def turns(site: Site) -> Iterator[Visitor]:
    """Yield who is to send requests: in turn those who matter most, and one of the others."""
    most = [site.cast.visitor(name) for name in ("alice", "nobody", "bob", "boss", "staff-of-all")]
    others = [one for one in site.cast.visitors if one not in most]
    for number in range(sys.maxsize):
        yield others[number // 2 % len(others)] if number % 2 else most[number // 2 % len(most)]


def send(site: Site, visitor: Visitor, forms: list[Form], number: int) -> str:
    """Send one visitor's requests; return what was found, with how to repeat it."""

    @seed(SEED + number)
    @settings(
        max_examples=CHUNK_REQUESTS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(request=requests(addresses(), forms, visitor, site.cast))
    def check(request: Sent) -> None:
        cache.clear()  # Or most requests would only be too many.
        try:
            site.holds(request, visitor)
        except HypothesisException:
            raise
        except Exception as error:
            # Whatever goes wrong is one finding, with the request in it.
            error.add_note(f"{visitor.name}: {request}")
            raise

    try:
        check()
    except Exception as error:  # noqa: BLE001  (told in the end, with the others)
        database = "postgresql" if ON_POSTGRESQL else "sqlite"
        again = f"python -m tests.fuzz --requests {REQUESTS} --database {database}"
        notes = "\n".join(getattr(error, "__notes__", []))
        return f"{error}\n{notes}\n{again} --seed {SEED} --chunk {number}\n"
    return ""


@pytest.mark.sql
@pytest.mark.timeout(0 if REQUESTS > 1000 else 300)
def test_site_holds_whatever_is_sent(site: Site) -> None:
    forms: dict[str, list[Form]] = {}
    found: list[str] = []
    for number, visitor in enumerate(turns(site)):
        if site.sent >= REQUESTS or len(found) >= ENOUGH:
            break
        if CHUNK is not None and number != int(CHUNK):
            if number > int(CHUNK):
                break
            continue
        if visitor.name not in forms:
            forms[visitor.name] = forms_for(visitor)
        problem = send(site, visitor, forms[visitor.name], number)
        if problem:
            found.append(problem)
        if number % 20 == 19:  # For who waits.
            sys.stdout.write(f"{site.sent} requests, {len(found)} findings\n")
            sys.stdout.flush()
    sys.stdout.write(f"{site.sent} requests\n")
    assert not found, "\n\n".join(found)
