"""Images: the disk of a device that has been rotated is restored from before that."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.scenarios.by_hand import give_new_pair, remove
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from lab.scenarios.workflow import WORKFLOW


@scenario(WORKFLOW)
def restored_from_an_image(stage: Stage) -> None:
    """The disk is restored from an image after the rotation: the old pair still opens the door,
    and the next rotation leaves one certificate."""
    root, image = stage.device.layout.root, _image_of(stage)
    stage.start()
    stage.rotate()
    stage.wait_for_idle()
    stage.device.power_off()
    _replace(root, image)
    mark = stage.timeline.mark()
    stage.device.start()
    stage.wait_until_listening(mark)
    require(stage.principal_connected() == stage.old.certificate_id, "it is not back with its old")
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(WORKFLOW)
def restored_from_an_old_image(stage: Stage) -> None:
    """The image is older than the grace period: AWS IoT knows the old pair no more, and a person
    gives the device a new one. The one that the rotation issued goes, and the device is rotated."""
    image = _image_of(stage)
    stage.start()
    stage.rotate()
    stage.wait_for_idle()
    stage.pass_grace()
    lost, policies = stage.certificate_on_disk(), stage.policies()
    stage.device.power_off()
    _replace(stage.device.layout.root, image)
    mark = stage.timeline.mark()
    stage.device.start()
    old = stage.old.certificate_id
    stage.timeline.wait_for("refused", source="iot-core", after=mark, timeout=60, principal=old)
    stage.device.stop()
    give_new_pair(stage, policies)
    stage.start()
    remove(stage, lost, policies)
    stage.take_for_old()
    stage.verdict(rotated=True, job=stage.rotate())
    require(not stage.alerts_told(), f"people were told {stage.alerts_told()}")


def _image_of(stage: Stage) -> Path:
    """An image of the device's disk, made after its first start."""
    root = stage.device.layout.root
    image = root.with_name(f"{root.name}.image")
    stage.start()
    stage.device.stop()
    shutil.copytree(root, image, symlinks=True)
    return image


def _replace(root: Path, image: Path) -> None:
    """The folder's content becomes that of the image."""
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(image, root, symlinks=True, dirs_exist_ok=True)
