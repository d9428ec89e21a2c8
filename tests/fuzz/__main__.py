"""Send the site whatever a stranger may, and see that it holds.

    python -m tests.fuzz
    python -m tests.fuzz --requests 2000 --database sqlite --seed 7

Every address and every form, as nobody, as people, and as staff with each permission: with hostile
texts and bytes, wrong methods, types and encodings, broken cookies, other people's ids, and headers
of proxies and scripts; and malformed HTTP to a real gunicorn. No answer may be a server error, show
a traceback, a setting or what is another person's; nobody's rows may change by another's request or
by a GET; and every answer has its security headers. The API, besides, does what its document says,
and nothing else: schemathesis asks it, with valid and invalid data, and along links; these requests
come on top. What fails is made as small as it can be, and printed with how to repeat it.
"""

import argparse
import os
import random
import subprocess
import sys

#: Half an hour on two cores.
REQUESTS = 100_000
DATABASES = ("postgresql", "sqlite")


def main() -> None:
    """Run it on each database; exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=REQUESTS, help="to both databases together")
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--chunk", type=int, help="this one alone, as a failure names it")
    options = parser.parse_args()
    databases = options.database or DATABASES
    environment = {
        **os.environ,
        "TIDY_FUZZ_REQUESTS": str(options.requests // len(databases)),
        "TIDY_FUZZ_SEED": str(options.seed),
        "TIDY_FUZZ_CHUNK": "" if options.chunk is None else str(options.chunk),
    }
    command = [
        *(sys.executable, "-m", "pytest", "tests/fuzz", "--timeout=0", "-q", "-s"),
        *(["-k", "holds"] if options.chunk is not None else []),
    ]
    both = [
        subprocess.Popen(command, env={**environment, "TIDY_TEST_DATABASE": database})
        for database in databases
    ]
    sys.exit(1 if sum(one.wait() for one in both) else 0)


if __name__ == "__main__":
    main()
