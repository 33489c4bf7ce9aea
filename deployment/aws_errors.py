"""What botocore raises, told as the errors of ``ports.py``, with what to do about it.

Codes common to all services: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html;
those of each operation stand in botocore's service models (greengrassv2, iot, sts).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from deployment.ports import AwsError, NotFound, Passing, SignedOut

_THROTTLED = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
    *("TooManyRequestsException", "RequestLimitExceeded", "RequestThrottledException"),
}
_BROKEN = {
    *("InternalServerException", "InternalFailureException", "InternalFailure"),
    *("ServiceUnavailableException", "ServiceUnavailable", "InternalError"),
    # The same clientToken is being worked on: this or another attempt of ours will succeed.
    "RequestAlreadyInProgressException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_NOT_ACCEPTED = {
    *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure"),
    *("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"),
    *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "NotAuthorized"),
}
_NOT_ALLOWED = {"AccessDenied", "AccessDeniedException", "UnauthorizedException", "Unauthorized"}
_ABSENT = {"ResourceNotFoundException", "NotFoundException"}

_SIGN_IN = "sign in again (aws sso login, aws login, or new keys), or name a profile (--profile)"
_POLICY = 'docs/operations.md, "What it may do", has the policy that is needed'


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raises AwsError, or the sub-class that says more, for what botocore raises within."""
    try:
        yield
    except ClientError as error:
        raise _told(operation, error) from error
    except ResponseParserError as error:
        # A proxy or a sign-in page of the network answered in AWS's place.
        raise Passing(f"{operation}: the answer is not AWS's; is there a proxy?") from error
    except BotoCoreError as error:
        raise _local(operation, error) from error


def _told(operation: str, error: ClientError) -> AwsError:
    """What AWS answered."""
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = f"{operation}: {code}" + (f", {message}" if message else "")
    if code in _THROTTLED or status == 429:
        return Passing(f"{operation}: throttled by AWS")
    if code in _EXPIRED:
        return SignedOut(f"the credentials have expired: {_SIGN_IN}")
    if code in _NOT_ACCEPTED:
        clock = "; is this machine's clock right?" if "ignature" in code else ""
        return SignedOut(f"AWS does not accept the credentials ({code}): {_SIGN_IN}{clock}")
    if code in _NOT_ALLOWED:
        return AwsError(f"{said}. The caller may not do that: {_POLICY}")
    if code in _ABSENT:
        return NotFound(said)
    if code in _BROKEN or status >= 500:
        return Passing(said)
    if code == "ConflictException":
        return AwsError(f"{said}. Somebody deploys to this group at the same time: look, then try")
    return AwsError(said)


def _local(operation: str, error: BotoCoreError) -> AwsError:
    """What went wrong on the way, or before anything was sent."""
    match error:
        case exceptions.ProfileNotFound():
            return SignedOut(f"{error}: aws configure list-profiles names those that there are")
        case exceptions.NoCredentialsError():
            return SignedOut(f"no AWS credentials are found: {_SIGN_IN}")
        case exceptions.PartialCredentialsError():
            return SignedOut(f"{error}: complete them, or name a profile (--profile)")
        case (
            exceptions.SSOError()
            | exceptions.LoginError()
            | exceptions.TokenRetrievalError()
            | exceptions.CredentialRetrievalError()
            | exceptions.MetadataRetrievalError()
            | exceptions.NoAuthTokenError()
            | exceptions.RefreshWithMFAUnsupportedError()
            | exceptions.UnknownCredentialError()
        ):
            return SignedOut(f"the credentials cannot be had ({error}): {_SIGN_IN}")
        case exceptions.NoRegionError():
            return AwsError("no AWS Region is set: name it (--region, or AWS_REGION)")
        case exceptions.InvalidRegionError() | exceptions.UnknownRegionError():
            return AwsError(f"{error}: name one such as eu-central-1 (--region)")
        case exceptions.ConfigParseError() | exceptions.ConfigNotFound():
            return AwsError(f"{error}: correct the AWS configuration of this machine")
        case exceptions.SSLError():
            return Passing(f"{error}. If a proxy inspects TLS here: AWS_CA_BUNDLE names its CA")
        case exceptions.ConnectionError():
            return Passing(f"{error}. Is the network up, and is there such a Region?")
        case exceptions.HTTPClientError() | exceptions.IncompleteReadError():
            return Passing(f"{operation}: {error}")
        case _:
            return AwsError(f"{operation}: {error}")
