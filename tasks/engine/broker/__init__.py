"""The message broker: Dramatiq over Redis. Only this package knows Dramatiq's keys in Redis."""
