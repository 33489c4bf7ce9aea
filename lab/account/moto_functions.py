"""Lambda functions of the account that are no part of the template: run in this process.

moto runs a function in a Docker container, which nobody here needs. Synchronous invocation
only; the template's own functions are run by ``lab/cloud/functions.py``.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaBackend

#: Takes the event, a JSON value, and gives the answer; or raises, as a function does that fails.
Handler = Callable[[Any], Any]


def _invoke(
    backend: Any,
    function_name: str,
    qualifier: str | None,
    body: Any,
    headers: Any,
    response_headers: Any,
) -> bytes:
    """Docker was wanted."""
    handler: Handler | None = backend.lab_functions.get(function_name)
    if handler is None:
        raise UnknownFunctionException(function_name)
    try:
        answer = handler(json.loads(body))
    except Exception as error:  # noqa: BLE001  (as Lambda: whatever the function raises)
        response_headers["x-amz-function-error"] = "Unhandled"
        answer = {"errorMessage": str(error), "errorType": type(error).__name__}
    return json.dumps(answer).encode()


#: What replaces what, for moto_corrections.corrected_moto, which also sets ``lab_functions``:
#: the functions by their ARN.
CORRECTIONS: list[tuple[type, str, object]] = [(LambdaBackend, "invoke", _invoke)]
