"""What operators do: with runs, schedules and dead letters. Pages and commands call it."""
