"""Which page is where."""

from django.urls import path

from shop import views

urlpatterns = [
    path("orders/", views.order, name="order"),
    path("confirmations/<str:result_id>/", views.confirmation, name="confirmation"),
]
