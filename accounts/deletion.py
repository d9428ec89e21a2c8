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
from django.template.response import TemplateResponse

from accounts.staff import MOST_LOGGED, LoggedById, StaffRequest, as_selection, by_id, log, may

#: Rows that a page names one by one. Of more, it says how many there are.
MOST_NAMED = 20

type Deleted = tuple[list[str], dict[str, int], set[str], list[str]]


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
        some = list(queryset[: MOST_LOGGED + 1])
        deleted = self.delete_many(request, queryset)
        log(request.user, some, deleted, DELETION, "", name=by_id)
        objects = model_ngettext(self.opts, deleted)
        text = f"{deleted:,} {objects} deleted. {self.fate()}"
        self.message_user(request, text.strip(), messages.SUCCESS if deleted else messages.WARNING)
        return None


def may_lose(request: HttpRequest, model: type[Model]) -> bool:
    """Say whether who asks may have rows of a model go with others.

    What nobody may delete by itself, such as the trash, forbids nothing.
    """
    return "delete" not in model._meta.default_permissions or may(request, "delete", model)
