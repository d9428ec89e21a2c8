"""The bill of materials: each package that runs in production, as uv.lock has it."""

import hashlib
import json
import tomllib
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.checkout import ROOT
from tests.supply.licences import licence_of
from tests.supply.uv import uv

type Bill = dict[str, Any]

LOCK = ROOT / "uv.lock"


def bill() -> Bill:
    """Return it in CycloneDX's form, with licences; it is the same for the same lock."""
    exported = uv(
        *("export", "--all-extras", "--no-dev", "--format", "cyclonedx1.5"),
        *("--preview-features", "sbom-export"),
    )
    assert exported.returncode == 0, exported.stderr
    made: Bill = json.loads(exported.stdout)
    # When, and a random number, would make each one differ.
    del made["metadata"]["timestamp"]
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    made["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}"
    for component in made["components"]:
        if licence := licence_of(component["name"]):
            component["licenses"] = [{"license": {"name": licence}}]
    return made


def gaps(made: Bill) -> list[str]:
    """Return what is wrong with a bill: what it lacks, and names that lead nowhere."""
    wrong = []
    listed = {component["name"]: component for component in made["components"]}
    for name, package in needed().items():
        component = listed.get(name)
        if component is None or component["version"] != package["version"]:
            wrong.append(f"{name} {package['version']}: is not in the bill of materials.")
    for name, component in listed.items():
        files = component.get("externalReferences", [])
        if not files or not all(file.get("hashes") for file in files):
            wrong.append(f"{name}: the bill of materials has no hash of it.")
    names = [one["bom-ref"] for one in (made["metadata"]["component"], *made["components"])]
    if len(set(names)) < len(names):
        wrong.append("Two components of the bill of materials have the same name.")
    known = set(names)
    for dependency in made["dependencies"]:
        unknown = {dependency["ref"], *dependency.get("dependsOn", [])} - known
        wrong += [f"{name}: is named in the bill of materials, and not in it." for name in unknown]
    return wrong


def needed() -> dict[str, dict[str, Any]]:
    """Return the packages of the lock that Tidy needs, extras included, by their names."""
    packages = {one["name"]: one for one in tomllib.loads(LOCK.read_text())["package"]}
    found: dict[str, dict[str, Any]] = {}
    waiting = [("tidy", extra) for extra in ("", *packages["tidy"]["optional-dependencies"])]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        package = packages[name]
        found[name] = package
        optional = package.get("optional-dependencies", {})
        for one in optional.get(extra, []) if extra else package.get("dependencies", []):
            new = {(one["name"], more) for more in ("", *one.get("extra", []))} - seen
            seen |= new
            waiting += new
    del found["tidy"]
    return found
