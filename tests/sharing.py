"""Which tests run in the same process, where several processes run them."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

#: Modules, or folders of modules, whose tests share a server that takes seconds to start.
TOGETHER = ("tests/browser/", "tests/project/test_away.py", "tests/project/test_output.py")


class SharingScheduling(LoadScopeScheduling):  # type: ignore[misc]  # It ships no types.
    """Gives out tests one by one; but those of a module together where they share a server.

    The mark `xdist_group` is meant for that. With pytest 9.2, pytest-xdist 3.8 overlooks it.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def unit(nodeid: str) -> str:
    """Return the name of what a test is given out with."""
    module = nodeid.partition("::")[0]
    return module if module.startswith(TOGETHER) else nodeid
