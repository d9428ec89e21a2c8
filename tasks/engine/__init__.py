"""A Django app that runs background work: schedules, runs, workers, and a console for staff."""
