"""How AWS is reached: one place for clients, retries, the clock and the translation of AWS errors into ours.

What is asked of AWS does not belong here; that is in `lambdas` and `logs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from aicfg_pipeline.errors import ConfigError, ServiceError
from aicfg_pipeline.postgres.wording import counted

THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded"}
)
_NOT_FOUND = frozenset({"ResourceNotFoundException", "404"})
_WRONG_LOGIN = frozenset(
    {
        # What botocore says of a refusal in a form it can't read, as a gateway on the way gives it.
        "401",
        "403",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "UnrecognizedClientException",
    }
)
_WRONG_SIGNATURE = frozenset({"InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"})
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

Log = Callable[[str], None]


def silent(_line: str) -> None:
    """Take a progress line and say nothing: the log of a caller who wants none."""


@dataclass(frozen=True)
class AwsTarget:
    """Which AWS is meant. Credentials never pass through here: boto3 finds them (environment, profile, role)."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    max_attempts: int = 8
    connect_timeout: float = 5.0
    read_timeout: float = 30.0

    def client(self, service: str) -> Any:
        """Return a boto3 client of `service` that retries throttled and broken requests with backoff and jitter."""
        config = Config(
            retries={"mode": "standard", "total_max_attempts": self.max_attempts},
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )
        try:
            session = boto3.session.Session(profile_name=self.profile, region_name=self.region)
            return session.client(service, endpoint_url=self.endpoint_url, config=config)  # type: ignore[call-overload]
        except ProfileNotFound as error:
            raise ConfigError(
                f"there is no AWS profile named {self.profile!r}",
                expected="a profile of ~/.aws/config or ~/.aws/credentials, or none",
                remedy="correct the profile's name; `aws configure list-profiles` shows those there are",
            ) from error
        except NoRegionError as error:
            raise ConfigError(
                "no AWS region is configured",
                remedy="set the region in the configuration, or AWS_REGION in the environment",
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"the AWS settings can't be used: {error}") from error


def error_code(error: ClientError) -> str:
    """Return the code AWS gave an error, such as `ResourceNotFoundException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_not_found(error: ClientError) -> bool:
    """Tell whether AWS says that the thing asked for does not exist."""
    return error_code(error) in _NOT_FOUND


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Raise every failure of AWS within as a `ServiceError` that says what was being done and what to do now."""
    try:
        yield
    except ClientError as error:
        _raise_client_error(doing, error)
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ServiceError(
            f"could not {doing}: no complete AWS credentials were found",
            expected="credentials in the environment, in the configured profile or from the machine's role",
            remedy="log in (`aws sso login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and run again",
        ) from error
    except (EndpointConnectionError, HTTPClientError) as error:
        raise ServiceError(
            f"could not {doing}: AWS did not answer ({error})",
            expected="an AWS endpoint that can be reached from this machine",
            remedy="check the network, the region and the endpoint URL, then run again",
        ) from error
    except BotoCoreError as error:
        raise ServiceError(f"could not {doing}: {error}") from error


def _raise_client_error(doing: str, error: ClientError) -> NoReturn:
    """Raise the `ServiceError` for what AWS answered. AWS's own text holds no secret, only names and codes."""
    code = error_code(error)
    text = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:500] or "no further explanation"
    found = f"could not {doing}: AWS answered {code}: {text}"
    if code in _WRONG_LOGIN:
        raise ServiceError(
            found,
            expected="credentials that AWS accepts",
            remedy="the credentials are wrong or have expired: log in again, then run again",
        ) from error
    if code in _WRONG_SIGNATURE:
        raise ServiceError(
            found,
            expected="a request signed with the right key, by a machine whose clock is right",
            remedy="check the secret access key and this machine's clock, then run again",
        ) from error
    if code in _FORBIDDEN:
        raise ServiceError(
            found,
            expected="an identity that is allowed to do this",
            remedy="let the pipeline's role do it, or use another profile, then run again",
        ) from error
    if code in THROTTLED:
        attempts = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
        raise ServiceError(
            f"{found} (still so after {counted(attempts, 'attempt')})",
            expected="AWS to accept a request within the attempts allowed",
            remedy="wait a minute and run again; or raise max_attempts",
        ) from error
    if code in _NOT_FOUND:
        raise ServiceError(
            found,
            expected="that it exists in this region and account",
            remedy="it was deleted or is named wrongly: correct the name, region or profile, then run again",
        ) from error
    raise ServiceError(found, remedy="mend what AWS names, then run again") from error


def server_skew(response: Mapping[str, Any], *, now: datetime | None = None) -> float | None:
    """Return by how many seconds the clock of the server that sent `response` is ahead of ours; None if it said none.

    The header has whole seconds, so anything below two seconds is no skew.
    """
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        theirs = parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    seconds = (theirs - (now or datetime.now(UTC))).total_seconds()
    return round(seconds, 1) if abs(seconds) >= 2 else 0.0


def aware(moment: datetime, what: str) -> datetime:
    """Return `moment` in UTC. One without a time zone is a programming mistake: it would mean another instant."""
    if moment.tzinfo is None:
        raise ValueError(f"{what} needs a time zone: {moment!r}")
    return moment.astimezone(UTC)
