"""The settings of the shop. For a real one the key and the hosts come from elsewhere."""

import importlib.util
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "for development only")
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "shop.urls"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}

INSTALLED_APPS = ["shop", "spoolq.contrib.django"]
if importlib.util.find_spec("django.tasks") is None:
    INSTALLED_APPS.append("django_tasks")  # Django 5: the backport

TASKS = {
    "default": {
        "BACKEND": "spoolq.contrib.django.SpoolBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {
            "ROOT": os.environ.get("SHOP_SPOOL", BASE_DIR / "spool"),
            "ATTEMPTS": 3,
            "ENQUEUE_ON_COMMIT": True,  # an order that was rolled back is not confirmed
        },
    }
}
