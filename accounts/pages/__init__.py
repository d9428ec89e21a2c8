"""How people sign up, log in and look after their accounts: django-allauth, as it is used here."""
