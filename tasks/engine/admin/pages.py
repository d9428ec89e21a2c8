"""What the pages of the engine's rows have in common."""

from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import DateTimeField, Model
from django.http import HttpRequest

from tasks.engine.templatetags.background import moment

if TYPE_CHECKING:
    BaseModelAdmin = admin.ModelAdmin[Any]
else:
    BaseModelAdmin = admin.ModelAdmin


@cache
def moment_of(field: "DateTimeField[Any, Any]") -> Callable[[Model], str | None]:
    """Return a column, or a read-only field, that shows a moment as the console does."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: Model) -> str | None:
        return moment(getattr(row, field.name)) or None

    column.__name__ = field.name
    return column


class EngineAdmin(BaseModelAdmin):
    """Pages of rows that the engine writes: nobody adds or deletes any."""

    #: Moments that a form may change.
    editable_moments: ClassVar[tuple[str, ...]] = ()

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["tasks/console.css"]}
        js = [forms.widgets.Script("tasks/console.js", defer=True)]

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._shown(super().get_list_display(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._shown(super().get_readonly_fields(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        is_form = obj is None or self.has_change_permission(request, obj)
        editable = self.editable_moments if is_form else ()
        return [
            (title, {**options, "fields": self._shown(options["fields"], editable)})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _shown(self, fields: Iterable[Any], editable: Collection[str] = ()) -> tuple[Any, ...]:
        """Return these fields, with a `moment_of` for each that holds a moment to be read."""
        moments = {
            field.name: moment_of(field)
            for field in self.opts.get_fields()
            if isinstance(field, DateTimeField) and field.name not in editable
        }
        return tuple(moments.get(name, name) for name in fields)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(EngineAdmin):
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
