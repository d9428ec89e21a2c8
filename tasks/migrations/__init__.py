"""Migrations of Tidy's tasks: of data alone, as the app has no tables."""
