"""The licences of what Tidy is made of, as the packages say themselves."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

#: A service may use these, and be under a licence of its own: they ask for a notice at most, or,
#: those with an L or an M, that changes to themselves be published.
ALLOWED = re.compile(
    r"MIT(-0)?|(3-Clause )?BSD(-[23]-Clause)?( License)?|Apache-2\.0|ISC|PSF-2\.0|MPL-2\.0"
    r"|LGPL-3\.0-only|GNU Lesser General Public License v3 or later \(LGPLv3\+\)"
    r"|Apache Software License|MIT License|Mozilla Public License 2\.0 \(MPL 2\.0\)"
)

#: Of packages whose metadata does not say it: as their source does.
SAID_ELSEWHERE = {"django-dramatiq": "Apache-2.0", "fido2": "BSD-2-Clause", "qrcode": "BSD"}

#: Their names stand between these.
BETWEEN = re.compile(r" OR | AND |[()]|, ")

#: A field that holds the whole text, and not its name, is longer.
MAX_NAME = 60


def licence_of(package: str) -> str:
    """Return the licence of a package; empty if it is not installed here, or says nothing."""
    if package in SAID_ELSEWHERE:
        return SAID_ELSEWHERE[package]
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return ""
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    field = said.get("License") or ""
    return field if 0 < len(field) <= MAX_NAME else ", ".join(classifiers)


def is_for_other_systems(component: dict[str, Any]) -> bool:
    """Return whether a package is installed elsewhere alone, such as on Windows."""
    names = {one["name"] for one in component.get("properties", [])}
    return "uv:package:marker" in names


def refused(made: dict[str, Any]) -> list[str]:
    """Return the packages of a bill whose licence is not known, or not allowed."""
    wrong = []
    for component in made["components"]:
        name, licence = component["name"], licence_of(component["name"])
        if not licence and not is_for_other_systems(component):
            wrong.append(f"{name}: says nothing of its licence.")
        elif not is_allowed(licence):
            wrong.append(f"{name}: its licence is not allowed: {licence}")
    return wrong


def is_allowed(licence: str) -> bool:
    """Return whether all that a licence names is allowed, whole names first."""
    if not licence or ALLOWED.fullmatch(licence):
        return True
    return all(ALLOWED.fullmatch(one) for one in BETWEEN.split(licence) if one.strip())
