"""What both Flask houses share: the app factory, access, requests and answers, problems, metrics, page layout."""

from palate.web.access import principal, public, require, require_all
from palate.web.app import add_check, create_app
from palate.web.contract import Body, Model, gives, gives_file, gives_page, read_body, takes
from palate.web.metrics import metrics
from palate.web.problems import FieldErrors
from palate.web.settings import WebSettings

__all__ = [
    "Body",
    "FieldErrors",
    "Model",
    "WebSettings",
    "add_check",
    "create_app",
    "gives",
    "gives_file",
    "gives_page",
    "metrics",
    "principal",
    "public",
    "read_body",
    "require",
    "require_all",
    "takes",
]
