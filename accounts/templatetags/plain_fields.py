"""Form fields as our pages show them."""

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def without_placeholder(field: BoundField) -> SafeString:
    """Return a field without django-allauth's placeholder, which repeats the label in grey."""
    return field.as_widget(attrs={"placeholder": False})
