"""The admin of background work."""

from django.contrib import admin
from django_dramatiq.models import Task

# We do not record messages there, and its page would show their contents unescaped.
admin.site.unregister(Task)
