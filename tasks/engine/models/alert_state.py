"""What alerts have told: one row, which all schedulers share (`tasks/engine/alerts/store.py`)."""

from django.db import models


class AlertState(models.Model):
    """The state of the alerts, as text."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    content = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name = "state of the alerts"
        constraints = [
            models.CheckConstraint(name="tasks_alertstate_one", condition=models.Q(pk=1))
        ]
        default_permissions = ()

    def __str__(self) -> str:
        return "state of the alerts"
