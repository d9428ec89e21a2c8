"""The address of the calendar. What it imports takes a while: it is loaded when first asked for."""

from django.urls import path

from todos.pages import calendar

urlpatterns = [path("<str:secret>.ics", calendar.show, name="feed")]
