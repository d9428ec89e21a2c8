"""Large deletions in the admin: counted and deleted in a few statements, never loaded."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import CASCADE, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.staff.log import LoggedById, by_id, log_selection
from accounts.staff.rights import StaffRequest, may
from accounts.staff.selection import as_selection, counted, held

#: Rows that the confirmation page names. It counts further ones.
MAX_NAMED_ROWS = 20

type Deleted = tuple[list[str], dict[str, int], set[str], list[str]]


class AlreadyDeleted(Exception):  # noqa: N818  (it says what happened, as Django's own do)
    """Somebody else has deleted the row."""


class LargeDeletion(LoggedById):
    """A model's admin whose deletions may be large.

    Django's own pages would load and list every row and everything that is deleted with it.
    """

    delete_selected_confirmation_template = "admin/delete_selection.html"
    delete_confirmation_max_display = MAX_NAMED_ROWS + 1
    actions: Sequence[str] = ("delete_selected",)

    def delete_many(self, request: StaffRequest, queryset: Any) -> int:
        """Delete a selection, which has no joins; return how many rows."""
        raise NotImplementedError

    def deletion_notice(self) -> str:
        """Return a sentence on what happens to deleted rows, or nothing."""
        return ""

    def delete_model(self, request: Any, obj: Any) -> None:
        """Delete a row, or raise AlreadyDeleted."""
        with held(self._selection([obj])) as (_, selection):
            if not self.delete_many(request, selection):
                raise AlreadyDeleted

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        """Describe the deletion of a selection, or a list of one row, for the confirmation page.

        Returns:
            The names of some rows; the number of rows of each model; the models that the user may
            not delete; and protected rows, of which there are none.
        """
        selection = self._selection(objs)
        total = selection.count()
        names = [str(row) for row in selection.order_by("pk")[:MAX_NAMED_ROWS]]
        if total > MAX_NAMED_ROWS:
            names.append(f"… and {total - MAX_NAMED_ROWS:,} more")
        counts: dict[type[Model], int] = {self.model: total}
        for relation in self.model._meta.related_objects:
            if relation.on_delete is CASCADE:
                model: type[Model] = relation.related_model
                theirs = {f"{relation.field.name}__in": selection.values("pk")}
                counts[model] = model._meta.base_manager.filter(**theirs).count()
        forbidden = {
            str(model._meta.verbose_name)
            for model, count in counts.items()
            if count and self.admin_site.is_registered(model) and not may_cascade(request, model)
        }
        kinds = {str(model._meta.verbose_name_plural): n for model, n in counts.items() if n}
        return names, kinds, forbidden, []

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(
        self, request: StaffRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        """Delete a selection after a confirmation."""
        if not request.POST.get("post"):
            page = delete_selected(self, request, queryset)
            if isinstance(page, TemplateResponse) and page.context_data:
                across = request.POST.get("select_across") == "1"
                page.context_data |= {
                    # The page repeats these ids in its form; a whole list has too many.
                    "queryset": queryset[:1] if across else queryset,
                    "select_across": across,
                    "deletion_notice": self.deletion_notice(),
                }
            return page
        *_, forbidden, _ = self.get_deleted_objects(queryset, request)
        if forbidden:
            raise PermissionDenied
        with held(self._selection(queryset)) as (found, selection):
            deleted = self.delete_many(request, selection)
            left = set(self._selection(found).values_list("pk", flat=True))
            gone = [row for row in found if row.pk not in left]
            log_selection(request.user, gone, deleted, DELETION, "", name=by_id)
        text = f"{counted(self.model, deleted)} deleted."
        if deleted:
            text = f"{text} {self.deletion_notice()}".strip()
        self.message_user(request, text, messages.SUCCESS if deleted else messages.WARNING)
        if left:
            text = "Some were not deleted: they are locked, or the database refused."
            self.message_user(request, text, messages.WARNING)
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete a row after a confirmation; say so if somebody else has deleted it meanwhile."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except AlreadyDeleted:
            text = f"Somebody else has deleted this {self.opts.verbose_name} meanwhile."
            self.message_user(request, text, messages.WARNING)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _selection(self, chosen: Any) -> QuerySet[Any]:
        return as_selection(self.model._meta.default_manager.all(), chosen)


def may_cascade(request: HttpRequest, model: type[Model]) -> bool:
    """Return whether the user may delete a model's rows along with others.

    Models without a permission to delete, such as the trash, allow it.
    """
    return "delete" not in model._meta.default_permissions or may(request, "delete", model)
