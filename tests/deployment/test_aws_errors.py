"""What botocore raises, told apart: what may pass, what needs signing in, and the rest."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from deployment.aws_errors import translated
from deployment.ports import AwsError, NotFound, Passing, SignedOut

URL = {"endpoint_url": "https://iot.eu-central-1.amazonaws.com"}


def kind(error: Exception) -> type[Exception]:
    """What becomes of an error; its text is one line, with the operation or a remedy."""
    with pytest.raises(AwsError) as told, translated("DescribeJob"):
        raise error
    assert told.value.__cause__ is error
    assert "\n" not in str(told.value)
    assert "DescribeJob" in str(told.value) or len(str(told.value)) > 40
    return type(told.value)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(**URL),
        exceptions.ConnectTimeoutError(**URL),
        exceptions.ReadTimeoutError(**URL),
        exceptions.ConnectionClosedError(**URL),
        exceptions.ConnectionError(error=OSError("reset")),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.SSLError(**URL, error=OSError("EOF")),
        exceptions.HTTPClientError(error=OSError("x")),
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("no XML"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_network(error: Exception) -> None:
    """Whatever the network does may pass."""
    assert kind(error) is Passing


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoCredentialsError(),
        exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        exceptions.ProfileNotFound(profile="x"),
        exceptions.SSOTokenLoadError(error_msg="x"),
        exceptions.UnauthorizedSSOTokenError(),
        exceptions.TokenRetrievalError(provider="sso", error_msg="x"),
        exceptions.CredentialRetrievalError(provider="process", error_msg="x"),
        exceptions.LoginRefreshRequired(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_credentials(error: BotoCoreError) -> None:
    """Whatever is wrong with the credentials needs a person."""
    assert kind(error) is SignedOut


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, Passing),
        ("TooManyRequestsException", 429, Passing),
        ("Whatever", 429, Passing),
        ("Whatever", 503, Passing),
        ("InternalFailureException", 500, Passing),
        ("RequestAlreadyInProgressException", 400, Passing),
        ("ExpiredTokenException", 403, SignedOut),
        ("UnrecognizedClientException", 403, SignedOut),
        ("InvalidSignatureException", 403, SignedOut),
        ("AccessDeniedException", 403, AwsError),
        ("ResourceNotFoundException", 404, NotFound),
        ("ValidationException", 400, AwsError),
        ("ConflictException", 409, AwsError),
    ],
)
def test_answers(code: str, status: int, expected: type[Exception]) -> None:
    """What AWS answers is told by its code, or by the status where the code says nothing."""
    response: Any = {
        "Error": {"Code": code, "Message": "why"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    assert kind(ClientError(response, "DescribeJob")) is expected


def test_nothing_else_is_translated() -> None:
    """A fault of our own stays one."""
    with pytest.raises(KeyError), translated("DescribeJob"):
        raise KeyError("x")
