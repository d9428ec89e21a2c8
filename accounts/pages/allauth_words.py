"""Words of django-allauth that our German catalogue says anew.

Its own German addresses people formally here, speaks of security keys where we say passkey, or has
a slip. Our catalogue comes before its own; the texts stand here so that ours takes them up.
"""

from django.utils.translation import gettext_noop

FORMS = (
    gettext_noop("Authenticator code"),
    gettext_noop("You must type the same password each time."),
    # The buttons for another way to confirm who one is.
    gettext_noop("Use your password"),
    gettext_noop("Use authenticator app or code"),
    gettext_noop("Use a security key"),
)

MAILS = (
    gettext_noop("Email Changed"),
    gettext_noop("Your email has been changed from %(from_email)s to %(to_email)s."),
    gettext_noop("Email Removed"),
    gettext_noop("Email address %(deleted_email)s has been removed from your account."),
    gettext_noop("Your password has been reset."),
    gettext_noop("Password Set"),
    gettext_noop("Your password has been set."),
    gettext_noop("Security Key Added"),
    gettext_noop("A new security key has been added."),
    gettext_noop("Security Key Removed"),
    gettext_noop("A security key has been removed."),
)
