"""Every error Palate raises on purpose.

    PalateError
    ├── InputError                 something handed to us is wrong; the caller can mend it
    │   ├── SchemaError            a table or a row breaks the schema (file, row, column)
    │   ├── ParameterError         a parameter's value is out of its range        (also a ValueError)
    │   └── UnknownIdError         an id that is not in the catalogue             (also a LookupError)
    ├── NotFittedError             a model is asked before it was fitted
    ├── CapabilityError            a model is asked for what it declares it cannot do
    ├── MissingDependencyError     an optional package or program is not installed
    ├── BundleError                a bundle can't be read or written
    │   ├── BundleDamagedError     a file is missing, truncated or its checksum differs
    │   └── BundleFormatError      written by a newer Palate, or of an unknown kind
    ├── RemoteError                another service is away, or refused what it was asked
    ├── RegistryError              the model registry is away or lacks the name
    ├── StoreError                 a database is away, full or locked
    │   └── ConflictError          the write lost against another one, or a key is taken
    └── AccessError                credentials are missing, wrong or do not suffice
        ├── UnauthenticatedError   who are you?
        ├── ForbiddenError         you may not
        └── ThrottledError         not so fast; `retry_after` says how many seconds to wait

A message says what was wrong; `where` says the file, row, column or parameter; `hint` says what to do.
`str(error)` is all three. The command line prints it and exits with `exit_code`; the web answers it as
problem+json with `status` and a `type` made of `slug`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PalateError(Exception):
    """The root. `str()` reads "WHERE: MESSAGE HINT"; the three parts are also attributes."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} {self.hint}" if self.hint else text


class InputError(PalateError):
    exit_code, status, slug, title = 2, 400, "bad-request", "The request cannot be understood"


class SchemaError(InputError):
    status, slug, title = 422, "schema", "The data breaks the schema"


class ParameterError(InputError, ValueError):
    status, slug, title = 422, "parameter", "A parameter is out of its range"


class UnknownIdError(InputError, LookupError):
    status, slug, title = 404, "not-found", "There is no such thing"


class NotFittedError(PalateError):
    status, slug, title = 503, "not-ready", "The model is not fitted"


class CapabilityError(PalateError):
    exit_code, status, slug, title = 2, 422, "capability", "The model cannot do that"


class MissingDependencyError(PalateError):
    exit_code, status, slug, title = 2, 501, "missing-dependency", "A package or program is not installed"


class BundleError(PalateError):
    exit_code, status, slug, title = 2, 503, "bundle", "The model bundle cannot be used"


class BundleDamagedError(BundleError):
    slug, title = "bundle-damaged", "The model bundle is damaged"


class BundleFormatError(BundleError):
    slug, title = "bundle-format", "The model bundle is of a format this version does not read"


class RemoteError(PalateError):
    """`code` is the HTTP status of a refusal; None when there was no answer, or none that could be read. `problem` is
    the refusal's own JSON, if it was some: of problem+json with `type`, `errors` and `request_id`."""

    exit_code, status, slug, title = 2, 502, "remote", "Another service cannot answer"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        code: int | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.code = code
        self.problem = problem


class RegistryError(PalateError):
    exit_code, status, slug, title = 2, 503, "registry", "The model registry cannot answer"


class StoreError(PalateError):
    exit_code, status, slug, title = 1, 503, "store", "The database cannot answer"


class ConflictError(StoreError):
    exit_code, status, slug, title = 2, 409, "conflict", "It is taken, or was changed meanwhile"


class AccessError(PalateError):
    exit_code, status, slug, title = 2, 403, "access", "Access is denied"


class UnauthenticatedError(AccessError):
    status, slug, title = 401, "unauthenticated", "Credentials are missing or wrong"


class ForbiddenError(AccessError):
    status, slug, title = 403, "forbidden", "The credentials do not suffice"


class ThrottledError(AccessError):
    status, slug, title = 429, "throttled", "Too many requests"

    def __init__(
        self, message: str, *, where: str | None = None, hint: str | None = None, retry_after: int = 1
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.retry_after = retry_after
