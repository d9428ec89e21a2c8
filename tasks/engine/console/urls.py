"""Addresses of the console, under the admin's."""

from django.urls import path

from tasks.engine.console import (
    actions,
    bulk,
    coming_times,
    dead_letters,
    processes,
    queues,
    schedules,
    start,
    task_page,
    views,
)

app_name = "background"

urlpatterns = [
    path("", views.overview, name="overview"),
    path("tasks/", start.tasks, name="tasks"),
    path("tasks/<path:task>/start/", start.start, name="start"),
    path("tasks/<path:task>/charts/", task_page.charts, name="task-charts"),
    path("times/", coming_times.coming_times, name="coming-times"),
    path("schedules/<int:pk>/run/", actions.run_now, name="run-now"),
    path("schedules/<int:pk>/pause/", schedules.pause, name="pause"),
    path("schedules/<int:pk>/resume/", schedules.resume, name="resume"),
    path("runs/<int:pk>/live/", views.run_live, name="run-live"),
    path("runs/<int:pk>/attempts/<int:number>/", views.attempt_error, name="attempt-error"),
    path("runs/<int:pk>/retry/", actions.retry_now, name="retry-now"),
    path("runs/<int:pk>/again/", actions.run_again, name="run-again"),
    path("runs/<int:pk>/cancel/", actions.cancel, name="cancel"),
    path("runs/<int:pk>/stop/", actions.stop, name="stop"),
    path("runs/<int:pk>/acknowledge/", actions.acknowledge, name="acknowledge"),
    path("runs/acknowledge/", actions.acknowledge_all, name="acknowledge-all"),
    path("runs/all/<str:verb>/", bulk.bulk, name="bulk"),
    path("runs/<int:pk>/undo/", views.confirm_undo, name="confirm-undo"),
    path("runs/<int:pk>/undo/now/", actions.undo, name="undo"),
    path("queues/pause/", queues.pause, name="pause-queue"),
    path("queues/resume/", queues.resume, name="resume-queue"),
    path("processes/<uuid:pk>/leave/", processes.leave, name="leave"),
    path("dead-letters/", dead_letters.dead_letters, name="dead-letters"),
    path("dead-letters/retry/", dead_letters.retry, name="retry"),
    path("dead-letters/discard/", dead_letters.discard, name="discard"),
]
