"""Known weaknesses of the packages in uv.lock, those for development included."""

from tests.supply.uv import uv

#: Whom uv asks.
SERVICE = "https://api.osv.dev"

FOUND, NOT_ASKED = 1, 2


def audit(service: str) -> tuple[int, str]:
    """Ask whether a package has a known weakness.

    Returns:
        0 if none has, `FOUND` or `NOT_ASKED`; and what to say.
    """
    asked = uv("audit", "--preview-features", "audit-command", "--service-url", service)
    if asked.returncode == 0:
        return 0, asked.stdout.strip() or asked.stderr.strip()
    if asked.stdout.strip():
        return FOUND, asked.stdout.strip()
    reason = asked.stderr.strip().splitlines()
    cause = reason[-1].strip().removeprefix("cause: ") if reason else "it did not say why"
    return NOT_ASKED, f"Not audited: {service} could not be asked ({cause}). Nothing is known."
