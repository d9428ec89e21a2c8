"""`manage.py send_test_alert`: tries each channel of the alerts."""

import sys
from argparse import ArgumentParser
from time import time
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.alerts.channels import channels_of
from tasks.engine.alerts.exchange import NotDelivered
from tasks.engine.alerts.outbox import CHECK_IN, kind_of
from tasks.engine.alerts.settings import AlertSettings
from tasks.engine.alerts.state import Message
from tasks.engine.words import printable


class Command(BaseCommand):
    help = (
        "Sends a test by each channel of the alerts that the settings name, and says what became "
        "of it; exits with 1 if one failed. Needs no database."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check-in",
            action="store_true",
            help="also check in at the dead man's switch, as after a successful night",
        )

    def handle(self, *, check_in: bool, **_: Any) -> None:
        channels = channels_of(AlertSettings.read())
        if not channels:
            raise CommandError("The settings name no channel for alerts.")
        now, test = time(), f"test-{uuid4().hex}"
        message = Message(id=test, event="test", episode=test, at=now, since=now)
        failed = False
        for channel in channels:
            what = f"{kind_of(channel.name)} to {printable(channel.target)}"
            if channel.name == CHECK_IN and not check_in:
                self.stdout.write(f"{what}: not tried; --check-in does")
                continue
            try:
                channel.deliver(message)
            except NotDelivered as error:
                failed = True
                self.stdout.write(f"{what}: failed: {error}")
            else:
                self.stdout.write(f"{what}: sent")
        if failed:
            sys.exit(1)
