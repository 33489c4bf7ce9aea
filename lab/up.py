"""``python -m lab up``: the lab runs until Ctrl-C, for looking around with one's own tools."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab.cloud_inbox import CloudInbox
from lab.lab import Lab
from lab.nucleus.recipe import Runtime


def run(runtimes: tuple[Runtime, ...], component: Path | None = None) -> int:
    """Start a device of each kind, say where everything is, and wait; the exit code.

    Their component is the build in ``component``, or the project as it stands.
    """
    with Lab(lambda entry: print(entry, flush=True), component=component) as lab:
        inbox = CloudInbox(lab.iot_core, lab.account, lab.timeline)
        backend = lab.deploy_backend()
        end = datetime.now(UTC) + timedelta(days=20)
        for number, runtime in enumerate(runtimes, 7):
            device, _ = lab.core_device(f"press-{number}", runtime=runtime, not_after=end)
            device.start()
        print(
            f"""
The account: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to anything, and
  aws --endpoint-url {lab.account.endpoint_url} --region {lab.account.region} iot list-things
The devices, each with its Greengrass root:
  ls {lab.folder}
  PYTHONPATH=src .venv/bin/python -m certkeeper check --root {lab.folder}/press-7
Rotate one of them, which its policy does by itself as well, since its end is near:
  aws ... iot create-job --job-id once-more --job-template-arn {backend.job_template_arn}
      --targets arn:aws:iot:{lab.account.region}:{lab.account.account_id}:thing/press-7
MQTT: localhost:{lab.iot_core.port}, with a device's own certificate and key

Ctrl-C ends it, and leaves nothing behind.
""",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("closing")
        inbox.close()
    return 0
