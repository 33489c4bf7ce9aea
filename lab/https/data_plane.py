"""The data plane for boto3 in the account: ``iot-data`` Publish and ``iot-jobs-data``.

Plain HTTP on loopback; whoever reaches it is the account, nothing is authorised. boto3
is led to it by ``DataPlane.environment``.
"""

from __future__ import annotations

from lab.https.jobs_routes import JobsRoutes
from lab.https.listener import PATIENCE, Listener
from lab.https.message import Request, Response, failed
from lab.iot_core.iot_core import IotCore
from lab.iot_core.tls import PeerCertificate
from lab.iot_core.topics import topic_fault
from lab.jobs.service import Jobs
from lab.loop import LoopThread
from lab.timeline import Timeline

PAYLOAD_MAXIMUM = 128 * 1024  # (AWS IoT Core quotas)


class DataPlane:
    """For blocking code, on any thread but the loop's own. Speaks as ``data-plane``."""

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        iot_core: IotCore,
        jobs: Jobs,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._iot_core = iot_core
        self._jobs = JobsRoutes(jobs)
        self._listener = Listener(loop, timeline, "data-plane", self._serve, patience=patience)
        self.start = self._listener.start
        self.stop = self._listener.stop
        self.go_away = self._listener.go_away
        self.come_back = self._listener.come_back

    @property
    def url(self) -> str:
        """The endpoint for boto3's ``iot-data`` and ``iot-jobs-data``."""
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3 use it.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        return environment(self.url)

    def _serve(self, request: Request, _: PeerCertificate | None) -> Response:
        match (request.method, *request.path):
            case ("POST", "topics", topic):
                return self._publish(topic, request)
        operation = self._jobs.operation(request)
        if operation is None:
            return failed(404, "ResourceNotFoundException", "there is nothing here")
        return operation.call()

    def _publish(self, topic: str, request: Request) -> Response:
        fault = topic_fault(topic)
        if fault is not None:
            return failed(400, "InvalidRequestException", f"topic: {fault}")
        qos = request.query.get("qos", "0")
        if qos not in ("0", "1"):
            return failed(400, "InvalidRequestException", f"qos {qos}")
        if request.query.get("retain", "false") != "false":
            return failed(400, "InvalidRequestException", "retain is not played here")
        if len(request.body) > PAYLOAD_MAXIMUM:
            return failed(413, "RequestEntityTooLargeException", "a payload over 128 KB")
        self._iot_core.publish(topic, request.body, int(qos))
        return Response(200, {"message": "OK"})


def environment(url: str) -> dict[str, str]:
    """The variables that lead boto3's two data planes to ``url``, by their service ids."""
    return {
        "AWS_ENDPOINT_URL_IOT_DATA_PLANE": url,
        "AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE": url,
    }
