"""Dates and times as the console and the commands write them: `2026-03-10 02:00:00 UTC`."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s T"
