"""The list of todos, and a new one."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import Throttled
from rest_framework.generics import ListCreateAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer, SerializerMethodField

from todos.leaving import Leaving
from todos.limits import seconds_until_add
from todos.models import Todo, TodoQuerySet
from todos.services import TodoService


class TodoSerializer(ModelSerializer):  # type: ignore[misc]
    """A todo, with the fields that the API gives."""

    leaves_at = SerializerMethodField()
    etag = SerializerMethodField()

    class Meta:
        model = Todo
        fields = (
            *("id", "title", "description", "due_on"),
            *("created_at", "completed_at", "restored_at", "leaves_at", "etag"),
        )
        read_only_fields = ("completed_at",)

    def get_leaves_at(self, todo: Todo) -> datetime | None:
        leaving: Leaving = self.context["leaving"]
        return leaving.of(todo)

    def get_etag(self, todo: Todo) -> str:
        return f'"{todo.state}"'


class NewestFirst(CursorPagination):  # type: ignore[misc]
    """Pages of todos in the order of their ids."""

    ordering = "-id"
    page_size = 50


class Todos(ListCreateAPIView):  # type: ignore[misc]
    """The todos of whoever calls."""

    serializer_class = TodoSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> TodoQuerySet:
        return Todo.objects.filter(user=self.request.user)

    def get_serializer_context(self) -> dict[str, Any]:
        leaving = Leaving(self.request.user, now=timezone.now())
        return {**super().get_serializer_context(), "leaving": leaving}

    def create(self, request: Request, *_args: object, **_values: object) -> Response:
        if wait := seconds_until_add(request.user):
            raise Throttled(wait)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key")
        if key is None:
            todo = TodoService.create(user=request.user, **serializer.validated_data)
            headers = {}
        else:
            todo, was_there = TodoService.create_for_request(
                user=request.user, key=key, **serializer.validated_data
            )
            headers = {"Idempotency-Replayed": str(was_there).lower()}
        headers |= {"Location": f"{request.path}/{todo.pk}", "ETag": f'"{todo.state}"'}
        data = self.get_serializer(todo).data
        return Response(data, status=status.HTTP_201_CREATED, headers=headers)
