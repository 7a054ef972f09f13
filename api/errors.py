"""Every error as JSON, with a code of the table: no HTML, no stack trace."""

from __future__ import annotations

import logging

import psycopg
from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from api.context import answer
from api.schemas import ErrorAnswer, ErrorDetail
from renderfarm.errors import FarmError
from renderfarm.storage import StorageError

log = logging.getLogger(__name__)

#: Codes for what Flask and Werkzeug refuse by themselves. Other 4xx are CS-UORC01-002.
_CODES = {404: "CS-UORC01-115", 405: "CS-UORC01-115", 413: "CS-ORIV-005"}

#: When to come back after an outage, in seconds.
_COME_BACK = 5


def install(app: Flask) -> None:
    """Let every error of the application be answered from here."""
    app.register_error_handler(FarmError, _refused)
    app.register_error_handler(HTTPException, _refused_by_flask)
    app.register_error_handler(ParseException, _broken_off)
    for away in (
        *(StorageError, OperationalError, InterfaceError, PoolTimeout),
        # The server ended a transaction that had stood still: whoever held it waited for something else.
        *(InternalError, psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError),
    ):
        app.register_error_handler(away, _away)
    app.register_error_handler(Exception, _failed)


def _refused(error: FarmError) -> Response:
    return _answer(error)


def _refused_by_flask(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error  # a redirect
    if status >= 500:
        return _answer(FarmError("CS-UORC01-199"), status)
    code = _CODES.get(status, "CS-UORC01-002")
    message = "" if status in _CODES else error.description or ""
    response = _answer(FarmError(code, message), status)
    if allowed := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _broken_off(error: ParseException) -> Response:
    """The server found, as the body was read, that it is not in the chunks it should be in."""
    return _answer(FarmError("CS-UORC01-002", "The body is not whole."))


def _away(error: Exception) -> Response:
    """The store or the database does not answer, which passes: what was asked may be asked again."""
    log.error("%s %s: %s", request.method, request.path, str(error).partition("\n")[0])
    return _answer(FarmError("CS-UORC01-199", retry_after=_COME_BACK), 503)


def _failed(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _answer(FarmError("CS-UORC01-199"))


def body_of(error: FarmError) -> ErrorAnswer:
    """Both forms in one: clients look under ``detail`` or at the top."""
    detail = ErrorDetail(error_code=error.code, message=error.message, action=error.public.action)
    return ErrorAnswer(detail=detail, error_code=error.code, message=error.message)


def _answer(error: FarmError, status: int = 0) -> Response:
    response = answer(body_of(error), status or error.public.status)
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
