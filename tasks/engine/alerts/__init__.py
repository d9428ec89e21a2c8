"""Alerts: tell people by mail or webhook when the verdict has changed, without other monitoring."""
