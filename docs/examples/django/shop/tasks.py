"""What is done in the background."""

try:
    from django.tasks import task
except ImportError:  # Django 5
    from django_tasks import task

from shop.models import Order


@task(queue_name="mail", attempts=5)
def confirm(order_id):
    """Tell the customer that the order has arrived. Tried five times; can be repeated."""
    order = Order.objects.get(pk=order_id)
    order.confirmed = True
    order.save(update_fields=["confirmed"])
    return order.email
