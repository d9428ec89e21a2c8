"""The time zones that a person can choose."""

from django.utils.translation import gettext, gettext_noop

from accounts.models import available_time_zones

#: The areas of zones that are named for a place. The other names are aliases, such as US/Eastern.
AREAS = {
    gettext_noop("Africa"),
    gettext_noop("America"),
    gettext_noop("Antarctica"),
    gettext_noop("Arctic"),
    gettext_noop("Asia"),
    gettext_noop("Atlantic"),
    gettext_noop("Australia"),
    gettext_noop("Europe"),
    gettext_noop("Indian"),
    gettext_noop("Pacific"),
}

type Zones = list[tuple[str, str]]


def time_zone_choices(own: str) -> list[tuple[str, Zones | str]]:
    """Return the choices of zones, grouped by area.

    Args:
        own: the zone that somebody has, which is among them whatever its name.
    """
    groups: dict[str, Zones] = {}
    for name in sorted(available_time_zones()):
        area, _, place = name.partition("/")
        if area in AREAS:
            groups.setdefault(area, []).append((name, place.replace("_", " ")))
    others = sorted({"UTC", own} - {""} - {name for zones in groups.values() for name, _ in zones})
    return [
        *((name, name) for name in others),
        *((gettext(area), zones) for area, zones in groups.items()),
    ]
