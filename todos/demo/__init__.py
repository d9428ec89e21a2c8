"""Demo people and todos."""

from todos.demo.seed import seed_demo

__all__ = ["seed_demo"]
