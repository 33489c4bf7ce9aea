"""One call of the command, step by step: what it looks at, says, makes and watches."""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from certkeeper import COMPONENT_NAME
from deployment import checks, configuration, difference, plan, progress, watching
from deployment.arguments import PROGRAM, Options
from deployment.ports import (
    AwsError,
    CannotDeploy,
    Cloud,
    Content,
    Deployment,
    Group,
    Passing,
    Revision,
)
from deployment.progress import Ending
from deployment.screen import Screen
from deployment.watching import Clock, Ended, Watch

#: How far a group's members are counted before anything is deployed: it is only said.
_MOST_COUNTED = 1000
#: How many revisions are looked through for one that differs.
_MOST_COMPARED = 20


class Deploying:
    """The steps, in order. Each raises CannotDeploy or AwsError."""

    def __init__(self, asked: Options, screen: Screen, clock: Clock) -> None:
        self._asked = asked
        self._screen = screen
        self._clock = clock
        #: The deployment's id; empty while it is being made, None before.
        self._made: str | None = None
        self._members = 0

    def read_configuration(self) -> dict[str, Any]:
        """What --config merges."""
        return configuration.read(self._asked.config) if self._asked.config else {}

    def sign_in(self, account: Callable[[str | None, str | None], Cloud]) -> Cloud:
        """The account, once it is known that the credentials are accepted."""
        cloud = account(self._asked.profile, self._asked.region)
        caller = cloud.caller()
        self._screen.step(f"account {caller.account}, {caller.region}, as {caller.arn}")
        return cloud

    def check(self, cloud: Cloud) -> Group:
        """The group, once it and the component's version are known to be there."""
        group = checks.group(cloud, self._asked.group)
        self._members = cloud.members(group.name, _MOST_COUNTED)
        over = " or more" if self._members == _MOST_COUNTED else ""
        kind = f"dynamic thing group ({group.query})" if group.query else "thing group"
        self._screen.step(f"{kind} {group.name}: {self._members}{over} in it now")
        if group.building:
            self._screen.note("AWS IoT is still working out who is in this group")
        if self._asked.version is not None:
            for note in checks.component_version(cloud, self._asked.version):
                self._screen.note(note)
            self._screen.step(f"{COMPONENT_NAME} {self._asked.version} can be deployed")
        return group

    def find(self, cloud: Cloud, group: Group) -> tuple[str, str]:
        """The deployment to watch: its id and its job's."""
        revisions = cloud.revisions(group, history=self._asked.base is not None)
        latest = plan.latest_of(revisions, self._asked.base)
        revision = plan.named(revisions, self._asked.base) if self._asked.base else latest
        if revision is None:
            raise CannotDeploy(f"{group.name} has no deployment that could be watched")
        self._screen.step(f"{revision} of {group.name}")
        self._made = revision.deployment_id
        return revision.deployment_id, cloud.deployment(revision.deployment_id).job_id

    def make(self, cloud: Cloud, group: Group, change: Mapping[str, Any]) -> tuple[str, str] | None:
        """Makes the deployment: its id and its job's; None if there is nothing to make."""
        asked = self._asked
        revisions = cloud.revisions(group, history=asked.rollback or asked.base is not None)
        latest = plan.latest_of(revisions, asked.base)
        before = cloud.deployment(latest.deployment_id) if latest else None
        if latest:
            self._screen.step(f"{group.name} has {latest}")
        content = self._content(cloud, revisions, latest, before, change)
        anything = self._show(latest, before, content)
        for target in cloud.subdeployments(group):
            self._screen.note(f"this takes the place of the subdeployment to {target} as well")
        if asked.dry_run or not (anything or asked.again):
            return None
        checks.unchanged(cloud, group, revisions)
        self._made = ""
        self._made, job_id = watching.create(
            cloud, self._clock, self._screen, group.arn, content, str(uuid.uuid4())
        )
        self._screen.step(f"deployment {self._made} is made")
        return self._made, job_id or cloud.deployment(self._made).job_id

    def watch(self, cloud: Cloud, group: Group, made: tuple[str, str]) -> int:
        """Watches until there is no more to see; the exit code."""
        watch = Watch(
            cloud, self._clock, self._screen, group, *made, self._asked.patience_minutes * 60
        )
        with self._screen.watching(self._members):
            ended = watch.run()
        self._screen.summary(ended, f"{group.name}, deployment {made[0]}", self._hints(ended))
        return ended.exit_code

    def nothing_made(self) -> int:
        """Says that nothing was deployed, and that this is as it should be; the exit code."""
        if self._asked.dry_run:
            self._screen.say("Nothing was deployed: this was --dry-run.")
        else:
            self._screen.say("Nothing would change, so nothing was deployed (--again does it).")
        return progress.SUCCEEDED

    def interrupted(self) -> int:
        """Says what goes on after Ctrl-C; the exit code."""
        if self._made is None:
            self._screen.say("Stopped. Nothing was deployed.")
        elif not self._made:
            self._screen.say("Stopped while the deployment was being made: it may be there.")
            self._screen.say(f"  to look: {self._command('--watch')}")
        else:
            self._screen.say("Stopped watching. The deployment goes on.")
            self._screen.say(f"  to look again: {self._command('--watch')}")
            self._screen.say(f"  to stop it: {self._cancel()}")
        return progress.INTERRUPTED

    def failed(self, error: CannotDeploy | AwsError) -> int:
        """Says on the standard error why it ends here; the exit code."""
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        if self._made is None or (not self._made and not isinstance(error, Passing)):
            return progress.NOT_DEPLOYED
        known = (
            "The deployment goes on" if self._made else "It is not known whether it was deployed"
        )
        print(f"{known}. To look: {self._command('--watch')}", file=sys.stderr)
        return progress.NOT_SEEN_TO_ITS_END

    # -- the pieces --------------------------------------------------------------------

    def _content(
        self,
        cloud: Cloud,
        revisions: Sequence[Revision],
        latest: Revision | None,
        before: Deployment | None,
        change: Mapping[str, Any],
    ) -> Content:
        """What the new deployment has to hold."""
        asked = self._asked
        base: Revision | None
        if asked.rollback and asked.base is None:
            base = self._previous(cloud, revisions, latest, before)
        else:
            base = plan.base_of(latest, revisions, asked.base)
        if base is None:
            if not asked.create:
                raise CannotDeploy(
                    f"{asked.group} has no deployment yet. To make its first one, with this "
                    f"component alone: --create"
                )
            self._screen.note(f"{asked.group} has no deployment yet: this is its first")
            return self._changed(plan.first(asked.group), change)
        source = before if before and base == latest else cloud.deployment(base.deployment_id)
        for note in plan.notes(source):
            self._screen.note(note)
        if base != latest:
            self._screen.step(f"{'back to' if asked.rollback else 'built on'} {base}")
        return plan.kept(source) if asked.rollback else self._changed(plan.kept(source), change)

    def _previous(
        self,
        cloud: Cloud,
        revisions: Sequence[Revision],
        latest: Revision | None,
        before: Deployment | None,
    ) -> Revision:
        """The newest revision whose content is not the latest's."""
        if latest is None or before is None:
            raise CannotDeploy(f"{self._asked.group} has no deployment that could be rolled back")
        for revision in plan.earlier(latest, revisions)[:_MOST_COMPARED]:
            found = cloud.deployment(revision.deployment_id)
            if plan.fit(found.content) != plan.fit(before.content):
                return revision
        raise CannotDeploy(
            f"there is nothing to roll back to: no deployment of {self._asked.group} before the "
            f"latest, {latest}, differs from it"
        )

    def _changed(self, content: Content, change: Mapping[str, Any]) -> Content:
        """The content with the version and the configuration that are asked for."""
        version = str(self._asked.version)
        changed = plan.with_component(content, COMPONENT_NAME, version, change)
        if change:
            whole = plan.merge_of(changed["components"][COMPONENT_NAME])
            for note in configuration.checked(whole, version):
                self._screen.note(note)
        return changed

    def _show(self, latest: Revision | None, before: Deployment | None, content: Content) -> bool:
        """Shows what changes; whether there is anything to deploy."""
        old = plan.fit(before.content) if before else {}
        lines = difference.difference(old, content, COMPONENT_NAME)
        self._screen.changes(lines, difference.unchanged(old, content))
        if COMPONENT_NAME in old.get("components", {}) and (
            COMPONENT_NAME not in content["components"]
        ):
            self._screen.note(
                f"this removes {COMPONENT_NAME} from the devices: see docs/operations.md, "
                f'"Remove the component", first'
            )
        return bool(lines) or latest is None or latest.status not in ("ACTIVE", "COMPLETED")

    def _hints(self, ended: Ended) -> list[str]:
        """What may be done next."""
        if not ended.ending.seen:
            return [f"it goes on; to look again: {self._command('--watch')}"]
        if ended.exit_code == progress.SUCCEEDED or ended.ending is Ending.REPLACED:
            return []
        if not self._asked.version:
            return []  # after a rollback, the next one goes forward again
        again = self._command("--again", self._asked.version)
        return [
            f"to try once more on those without it: {again}",
            f"to go back on all devices: {self._command('--rollback')}",
        ]

    def _command(self, option: str, *before: str) -> str:
        """This command again, to the same group, with another option."""
        words = ["python3", PROGRAM, option, *self._account()]
        return shlex.join([*words, *before, self._asked.group])

    def _cancel(self) -> str:
        words = ["aws", "greengrassv2", "cancel-deployment", "--deployment-id", str(self._made)]
        return shlex.join([*words, *self._account()])

    def _account(self) -> list[str]:
        """The options that say which account and Region, as they were given."""
        named = (("--profile", self._asked.profile), ("--region", self._asked.region))
        return [word for name, value in named if value for word in (name, value)]
