"""The scheduler: claims slots on time, and keeps every run moving."""
