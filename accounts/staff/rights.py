"""Who uses the admin, what they may do, and whose accounts they may manage."""

from django.db.models import Model
from django.http import HttpRequest

from accounts.models import User

#: The fields that decide what a person may do. Only superusers change them.
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class StaffRequest(HttpRequest):
    """A request to the admin: somebody is logged in."""

    user: User


def may(request: HttpRequest, verb: str, model: type[Model]) -> bool:
    """Return whether the user has a permission on a model, such as `view`."""
    opts = model._meta
    return request.user.has_perm(f"{opts.app_label}.{verb}_{opts.model_name}")


def may_manage(request: HttpRequest, target: User | None) -> bool:
    """Return whether the user may change or delete a person; or people at all, if it is None.

    A user who sets a person's password, or changes the address to which a new one is mailed, can
    act as that person. So only superusers manage staff, except for what staff change of their own.
    """
    if target is None or request.user.is_superuser or request.user.pk == target.pk:
        return True
    return not (target.is_staff or target.is_superuser)
