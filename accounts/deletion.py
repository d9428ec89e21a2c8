"""Deleting in the admin by the thousand: counted and deleted in a few statements, never loaded."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import DELETION
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import PermissionDenied
from django.db.models import CASCADE, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.staff import LoggedById, StaffRequest, as_selection, by_id, held, log, may

#: Rows that a page names one by one. Of more, it says how many there are.
MOST_NAMED = 20

type Deleted = tuple[list[str], dict[str, int], set[str], list[str]]


class Gone(Exception):  # noqa: N818  (it says what became of it, as Django's own do)
    """What is to be deleted is not there any more."""


class LargeDeletion(LoggedById):
    """A model's admin whose deletions may be large.

    Django's own pages would load every row, and everything that goes with it, to list it.
    """

    delete_selected_confirmation_template = "admin/delete_selection.html"
    delete_confirmation_max_display = MOST_NAMED + 1
    actions: Sequence[str] = ("delete_selected",)

    def delete_many(self, request: StaffRequest, queryset: Any) -> int:
        """Delete a selection; return how many of its rows went."""
        raise NotImplementedError

    def delete_model(self, request: Any, obj: Any) -> None:
        """Delete a row.

        Raises:
            Gone: it is not there any more.
        """
        with held(as_selection(self.model, [obj])) as (_, selection):
            if not self.delete_many(request, selection):
                raise Gone

    def fate(self) -> str:
        """Return what becomes of what is deleted, as a sentence; empty if it is gone."""
        return ""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        """Say what a deletion would take, for the page that asks whether to go on.

        Args:
            objs: a selection, or a list of one.
            request: whose rights count.

        Returns:
            Some names; how many of each kind there are; the kinds that the person may not delete;
            what forbids it, which nothing does.
        """
        selection = as_selection(self.model, objs)
        total = selection.count()
        names = [str(row) for row in selection.order_by("pk")[:MOST_NAMED]]
        if total > MOST_NAMED:
            names.append(f"… and {total - MOST_NAMED:,} more")
        counts: dict[type[Model], int] = {self.model: total}
        for relation in self.model._meta.related_objects:
            if relation.on_delete is CASCADE:
                model: type[Model] = relation.related_model
                theirs = {f"{relation.field.name}__in": selection.values("pk")}
                counts[model] = model._meta.base_manager.filter(**theirs).count()
        forbidden = {
            str(model._meta.verbose_name)
            for model, count in counts.items()
            if count and self.admin_site.is_registered(model) and not may_lose(request, model)
        }
        kinds = {str(model._meta.verbose_name_plural): n for model, n in counts.items() if n}
        return names, kinds, forbidden, []

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(
        self, request: StaffRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        """Ask whether to delete a selection; if so, do it."""
        if not request.POST.get("post"):
            page = delete_selected(self, request, queryset)
            if isinstance(page, TemplateResponse) and page.context_data:
                across = request.POST.get("select_across") == "1"
                # A selection of everything that the list finds is not named row by row.
                page.context_data["queryset"] = queryset[:1] if across else queryset
                page.context_data |= {"select_across": across, "fate": self.fate()}
            return page
        *_, forbidden, _ = self.get_deleted_objects(queryset, request)
        if forbidden:
            raise PermissionDenied
        with held(as_selection(self.model, queryset)) as (found, selection):
            deleted = self.delete_many(request, selection)
            left = set(as_selection(self.model, found).values_list("pk", flat=True))
            gone = [row for row in found if row.pk not in left]
            log(request.user, gone, deleted, DELETION, "", name=by_id)
        objects = model_ngettext(self.opts, deleted)
        text = f"{deleted:,} {objects} deleted."
        if deleted:
            text = f"{text} {self.fate()}".strip()
        self.message_user(request, text, messages.SUCCESS if deleted else messages.WARNING)
        if left:
            text = "Some are still there: another transaction holds them, or they cannot go."
            self.message_user(request, text, messages.WARNING)
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask whether to delete a row; if so, do it, unless somebody else has meanwhile."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except Gone:
            text = f"Somebody else has deleted this {self.opts.verbose_name} meanwhile."
            self.message_user(request, text, messages.WARNING)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def may_lose(request: HttpRequest, model: type[Model]) -> bool:
    """Say whether who asks may have rows of a model go with others.

    What nobody may delete by itself, such as the trash, forbids nothing.
    """
    return "delete" not in model._meta.default_permissions or may(request, "delete", model)
