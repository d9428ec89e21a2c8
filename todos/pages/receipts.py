"""The end of receipts, from a link in the mail: without logging in."""

from django.core.signing import BadSignature
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from accounts.models import User
from todos.receipts.services import ReceiptService


@csrf_exempt  # A mail program has no cookie (RFC 8058): the signed token is the proof.
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """End receipts: at once for a mail program, after a click for a person."""
    try:
        if request.POST.get("List-Unsubscribe") == "One-Click":
            ReceiptService.unsubscribe(token=token)
            return HttpResponse(_("You get no more receipts."), content_type="text/plain")
        return page(request, token)
    except (BadSignature, User.DoesNotExist) as error:
        raise Http404 from error


@csrf_protect
def page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the button that ends receipts, or that they have ended; on POST, end them."""
    if request.method == "POST":
        ReceiptService.unsubscribe(token=token)
        return redirect("todos:unsubscribe", token)
    wanted = ReceiptService.are_wanted(token=token)
    return render(request, "todos/unsubscribe.html", {"wanted": wanted})
