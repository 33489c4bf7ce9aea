"""Hypothesis strategies for the values of core, and how the property tests are run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from certkeeper.core.certificate import CertificateFacts, Inventory, PairState, Reading, Role
from certkeeper.core.settings import Settings
from certkeeper.core.threshold import Share, Threshold
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from tests.core.world import NOW


def examples(count: int) -> settings:
    """The same ``count`` examples in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def times(first: int = 1, last: int = 9999) -> st.SearchStrategy[datetime]:
    """Whole seconds of UTC within these years."""
    begin = datetime(first, 1, 1, tzinfo=UTC)
    seconds = datetime(last, 12, 31, 23, 59, 59, tzinfo=UTC) - begin
    # More often in the years in which devices live than in all of time.
    near = st.integers(-4000, 4000).map(lambda days: NOW + timedelta(days=days))
    anywhere = st.integers(0, int(seconds.total_seconds())).map(
        lambda second: begin + timedelta(seconds=second)
    )
    return anywhere if last < 2040 or first > 2013 else anywhere | near


#: What comes from outside: long, not printable, not Unicode (a path's undecodable byte).
any_text = st.text(max_size=40) | st.tuples(
    st.sampled_from(["/", "ü", "\x00", '"\\', "\U0001f512", "\udcff"]), st.sampled_from([1, 400])
).map(lambda pair: pair[0] * pair[1])
#: What can stand in a message.
wire_text = st.text(max_size=40)

thresholds: st.SearchStrategy[tuple[Threshold, ...]] = st.lists(
    st.one_of(st.integers(1, 3650), st.builds(Share, st.integers(1, 99))),
    min_size=1,
    max_size=6,
    unique=True,
).map(tuple)

some_settings = st.builds(
    Settings,
    thresholds=thresholds,
    critical_below_days=st.integers(0, 3650),
    realert_hours=st.integers(1, 48),
    max_age_days=st.one_of(st.just(0), st.integers(0, 36500)),
    sign_alerts=st.booleans(),
)

any_facts = st.builds(
    CertificateFacts,
    certificate_id=st.sampled_from(["aa" * 32, "bb" * 32, "cc" * 32]),
    subject=any_text,
    issuer=any_text,
    serial_number=st.text("0123456789abcdef", min_size=1, max_size=40),
    not_before=times(),
    not_after=times(),
    key_algorithm=st.sampled_from(["RSA-2048", "ECDSA-P256", "Ed25519"]),
    issuer_not_after=st.none() | times(),
)

any_reading = st.one_of(
    st.builds(
        Reading,
        st.sampled_from(Role),
        any_text,
        any_facts,
        detail=any_text,
        pair=st.sampled_from(PairState),
    ),
    st.builds(
        Reading,
        st.sampled_from(Role),
        any_text,
        st.none(),
        st.sampled_from(ReadProblem),
        any_text,
    ),
)

any_check = st.builds(
    ReadinessCheck,
    st.sampled_from(ReadinessCheckName),
    st.sampled_from(CheckStatus),
    any_text,
    st.none() | any_text,
)

any_inventory = st.builds(
    Inventory,
    st.sampled_from(["classic", "lite", "unknown"]),
    st.none() | st.just("press-7"),
    st.none() | st.just("/greengrass/v2/privKey.key"),
    st.lists(any_reading, max_size=4).map(tuple),
    st.lists(any_check, max_size=10, unique_by=lambda check: check.name).map(tuple),
    clock_synchronized=st.sampled_from([None, True, False]),
)

#: What json.loads may give.
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
