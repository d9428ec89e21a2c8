"""The tests' own app: carries out an injection when all of Tidy has been loaded."""

from importlib import import_module

from django.apps import AppConfig

from tests.seam.injection import Injection


class SeamConfig(AppConfig):
    """It has actors and no models."""

    name = "tests.seam"

    def ready(self) -> None:
        """Register the actors and their schedules, and apply the patches."""
        import tasks.schedules  # noqa: PLC0415  (needs the models, as does the other)
        from tests.seam.schedules import SCHEDULES  # noqa: PLC0415

        tasks.schedules.SCHEDULES = SCHEDULES  # type: ignore[assignment]
        injection = Injection.of_this_process()
        for module in injection.modules:
            import_module(module)
        for patch in injection.patches:
            patch.apply()
