"""A secret key for processes that run as in production, where a weak one is refused."""

SECRET_KEY = "only-for-these-tests-0123456789-abcdefghijklmnopqrstuvwxyz"
