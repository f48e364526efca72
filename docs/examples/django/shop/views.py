"""Two pages: one takes an order, one says how far it is."""

from django.db import transaction
from django.http import Http404, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

try:
    from django.tasks.exceptions import TaskException
except ImportError:  # Django 5
    from django_tasks.exceptions import TaskException

from shop.models import Order
from shop.tasks import confirm


@csrf_exempt  # so that curl can order
@require_POST
def order(request):
    """Take an order; its confirmation is enqueued once the order is committed."""
    with transaction.atomic():
        new = Order.objects.create(email=request.POST["email"])
        confirmation = confirm.enqueue(new.pk)
    return JsonResponse({"confirmation": reverse("confirmation", args=[confirmation.id])})


@require_GET
def confirmation(request, result_id):  # noqa: ARG001  # Django's signature
    """How far the confirmation is."""
    try:
        result = confirm.get_result(result_id)
    except TaskException:
        raise Http404 from None  # there is none, or it is one of another task
    return JsonResponse({"status": result.status, "attempts": result.attempts})
