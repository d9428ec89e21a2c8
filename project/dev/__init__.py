"""Everything behind `manage.py dev`."""
