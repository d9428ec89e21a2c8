"""The tests' own app: carries out an injection when all of Tidy has been loaded."""

from importlib import import_module

from django.apps import AppConfig

from tests.seam.injection import Injection


class SeamConfig(AppConfig):
    """It has actors and no models."""

    name = "tests.seam"

    def ready(self) -> None:
        """Register the actors and apply the patches."""
        injection = Injection.of_this_process()
        for module in injection.modules:
            import_module(module)
        for patch in injection.patches:
            patch.apply()
