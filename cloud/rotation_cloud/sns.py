"""Messages to people, through SNS.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rotation_cloud.aws_errors import translated


class SnsNotices:
    """See ports.Notices."""

    def __init__(self, sns: Any, topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def tell(self, subject: str, message: dict[str, str]) -> None:
        with translated("SNS Publish"):
            self._sns.publish(
                TopicArn=self._topic_arn, Subject=subject, Message=json.dumps(message, indent=1)
            )


class SnsAlerts:
    """See ports.Alerts.

    https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
    """

    def __init__(self, sns: Any, topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def tell(self, subject: str, text: str, attributes: Mapping[str, str]) -> None:
        with translated("SNS Publish"):
            self._sns.publish(
                TopicArn=self._topic_arn,
                Subject=subject,
                Message=text,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            )
