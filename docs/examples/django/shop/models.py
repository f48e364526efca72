"""What is kept in the database."""

from django.db import models


class Order(models.Model):
    """One order."""

    email = models.EmailField()
    confirmed = models.BooleanField(default=False)
