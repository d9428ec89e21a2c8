"""Say what Tidy is made of, and whether that may be so.

    python -m tests.supply                     checks the bill of materials, and the licences
    python -m tests.supply --write FILE        writes the bill as CycloneDX, always the same
    python -m tests.supply --audit             asks OSV.dev whether a package has a known weakness

The first two need no network. The third ends with 1 if there is one, and with 2 if nobody could be
asked: then nothing is known.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.supply.audit import SERVICE, audit
from tests.supply.bill import bill, gaps
from tests.supply.licences import refused


def main() -> None:
    """Check, write or ask; end with another code than 0 if anything is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--service", default=SERVICE, help="whom to ask: %(default)s")
    options = parser.parse_args()
    if options.audit:
        code, line = audit(options.service)
        sys.stdout.write(f"{line}\n")
        sys.exit(code)
    made = bill()
    wrong = [*gaps(made), *refused(made)]
    if options.write and not wrong:
        options.write.write_text(json.dumps(made, indent=2) + "\n")
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
