"""A database backend: see `base`, where Django looks for it."""
