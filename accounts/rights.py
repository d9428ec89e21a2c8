"""Who may manage whom: nobody gains rights by way of the people that they look after."""

from django.http import HttpRequest

from accounts.models import User

#: What decides over what a person may do. Superusers alone change it.
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


def may_manage(request: HttpRequest, target: User) -> bool:
    """Say whether who asks may edit or deactivate a person, or set their password.

    Whoever can set somebody's password, or change where a new one is mailed to, can act as them. So
    staff are for superusers alone to manage, but for what they change about themselves.
    """
    if request.user.is_superuser or request.user.pk == target.pk:
        return True
    return not (target.is_staff or target.is_superuser)
