"""Security headers on every answer: pages, errors, redirects, static files and health probes.

Django's own middleware sets some of them, on what passes through it; a probe does not. Only what
the web server itself refuses, before Django sees it, has none of them.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

#: What a browser can do for a page: pages of ours use the last three, so their frames, other sites
#: and injected markup get nothing more. Names that Chromium does not know would be warnings.
FEATURES = {
    **dict.fromkeys(
        (
            *("accelerometer", "autoplay", "browsing-topics", "camera"),
            *("clipboard-read", "display-capture", "encrypted-media", "fullscreen", "gamepad"),
            *("geolocation", "gyroscope", "hid", "identity-credentials-get", "idle-detection"),
            *("local-fonts", "magnetometer", "microphone", "midi", "otp-credentials", "payment"),
            *("picture-in-picture", "screen-wake-lock", "serial", "storage-access", "sync-xhr"),
            *("usb", "window-management", "xr-spatial-tracking"),
        ),
        "()",
    ),
    "clipboard-write": "(self)",  # The console copies errors.
    "publickey-credentials-create": "(self)",  # Passkeys.
    "publickey-credentials-get": "(self)",
}

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{name}={who}" for name, who in FEATURES.items()),
    # Links of mails hold secrets: no other site is told where somebody comes from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": settings.X_FRAME_OPTIONS,
}


class HeadersMiddleware:
    """Sets these headers, unless a view has set its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
