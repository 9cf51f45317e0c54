"""Policies by name, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import registry
from agents.break_even import BreakEvenParameters
from agents.grace_period import GracePeriod, GracePeriodParameters
from agents.minimize_workers import MinimizeWorkers
from agents.parameters import Parameters, describe_parameters, parse_parameters
from agents.registry import make_policy, policy_class, policy_names
from agents.target_utilisation import TargetUtilisation
from env.errors import DaCircoError, PolicyError, UnknownNameError


def test_names_begin_with_the_naive_ones():
    assert policy_names() == [
        "minimize-workers",
        "grace-period",
        "reserve-k",
        "queue-scaling",
        "target-utilisation",
        "concurrency-windows",
        "break-even",
        "hybrid-histogram",
        "square-root-staffing",
        "adaptive-flavor",
        "scheduler-with-queue",
        "scheduler-with-reserve",
        "adaptive-grace-period",
        "priority-based-dynamic",
    ]


def test_parameters_are_converted():
    policy = make_policy("grace-period: max_idle_time = 12.5 , max-workers=3,flavor=s10.tiny")
    assert policy.parameters == GracePeriodParameters(  # type: ignore[attr-defined]
        max_idle_time=12.5, max_workers=3, flavor="s10.tiny"
    )
    assert make_policy("grace-period:max_workers=none").parameters == GracePeriodParameters()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hpa", TargetUtilisation),
        ("target-utilization", TargetUtilisation),
        ("Grace_Period", GracePeriod),
        ("minimise-workers", MinimizeWorkers),
    ],
)
def test_aliases_and_spelling(text, kind):
    assert type(make_policy(text)) is kind


NOT_A_GRACE = "is not usable: give number, 0 to 86400 s (default 60)"
NOT_SPARES = "is not usable: give whole number, 0 to 10000 (default 1)"
WRITE = "write NAME:key=value,key=value"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("grace-perid", "unknown policy 'grace-perid': did you mean 'grace-period'?"),
        ("grace-perid:60", "unknown policy 'grace-perid': did you mean 'grace-period'?"),
        (
            "grace-period:max_idle=3",
            "unknown parameter of grace-period 'max_idle': did you mean 'max_idle_time'?",
        ),
        (
            "minimize-workers:spares=1",
            (
                "unknown parameter of minimize-workers 'spares': "
                "known: discipline, flavor, max_workers"
            ),
        ),
    ],
)
def test_unknown_names_suggest_the_closest(spec, message):
    with pytest.raises(UnknownNameError) as caught:
        make_policy(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("grace-period:max_idle_time=-3", f"grace-period: max_idle_time=-3 {NOT_A_GRACE}"),
        ("grace-period:max_idle_time=nan", f"grace-period: max_idle_time=nan {NOT_A_GRACE}"),
        ("grace-period:max_idle_time=1e9", f"grace-period: max_idle_time=1e9 {NOT_A_GRACE}"),
        ("grace-period:max_idle_time=a\nb", f"grace-period: max_idle_time='a\\nb' {NOT_A_GRACE}"),
        ("reserve-k:spares=many", f"reserve-k: spares=many {NOT_SPARES}"),
        ("reserve-k:spares=none", f"reserve-k: spares=none {NOT_SPARES}"),
        ("reserve-k:spares=1.5", f"reserve-k: spares=1.5 {NOT_SPARES}"),
        (
            "grace-period:max_workers=0",
            (
                "grace-period: max_workers=0 is not usable: give whole number, "
                "1 or more, or none (default none)"
            ),
        ),
        (
            "break-even:discipline=lifo",
            "break-even: discipline=lifo is not usable: give fcfs or sjf (default sjf)",
        ),
        (
            "concurrency-windows:target=0",
            (
                "concurrency-windows: target=0 is not usable: "
                "give number, above 0 to 1000 (default 0.7)"
            ),
        ),
        (
            "hybrid-histogram:head=0.9,tail=0.2",
            "hybrid-histogram: head=0.9 is above tail=0.2: give head <= tail",
        ),
        ("grace-period:60", f"policy 'grace-period:60': '60' is not key=value: {WRITE}"),
        ("grace-period:", f"policy 'grace-period:': '' is not key=value: {WRITE}"),
        (
            "reserve-k:spares=1,spares=2",
            "policy 'reserve-k:spares=1,spares=2': spares is given twice: give it once",
        ),
        (
            "grace-period:max-idle-time=1,max_idle_time=2",
            "grace-period: max_idle_time is given twice: give it once",
        ),
    ],
)
def test_errors_name_value_and_fix(spec, message):
    with pytest.raises(PolicyError) as caught:
        make_policy(spec)
    assert str(caught.value) == message


@given(
    name=st.text(max_size=300) | st.sampled_from(policy_names()),
    rest=st.text(max_size=40)
    | st.just("")
    | st.text(max_size=9).map(lambda v: f":max_workers={v}"),
)
def test_any_text_is_a_policy_or_an_error_in_one_line(name, rest):
    message = ""
    try:
        assert make_policy(name + rest).name in policy_names()
    except DaCircoError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1


def values(info):
    """Any value of a parameter, within its bounds."""
    match info.kind:
        case "choice":
            return st.sampled_from(info.choices)
        case "text":
            return st.sampled_from(["s10.tiny", "s10.medium"])
        case "whole number":
            found = st.integers(info.minimum, info.maximum or 10**6)
        case _:
            found = st.floats(info.minimum, info.maximum, exclude_min=info.above)
    return found | st.none() if info.optional else found


@given(data=st.data())
def test_spec_makes_an_equal_policy(data):
    kind = policy_class(data.draw(st.sampled_from(policy_names())))
    given = {
        info.name: data.draw(values(info)) for info in describe_parameters(kind.parameters_type)
    }
    if "head" in given:
        given["head"], given["tail"] = sorted((given["head"], given["tail"]))
    policy = kind(kind.parameters_type(**given))
    again = make_policy(policy.spec)
    assert type(again) is kind
    assert again.parameters == policy.parameters
    assert again.discipline == policy.discipline
    assert repr(policy) == f"<policy {policy.spec}>"


def test_spec_of_defaults_is_the_name():
    assert [make_policy(name).spec for name in policy_names()] == policy_names()


def test_parameters_of_another_policy():
    with pytest.raises(TypeError, match="GracePeriodParameters, not BreakEvenParameters"):
        GracePeriod(BreakEvenParameters())


def test_a_policy_without_parameters():
    assert parse_parameters(Parameters, "still", {}) == Parameters()
    with pytest.raises(PolicyError, match="still takes no parameters: remove 'speed'"):
        parse_parameters(Parameters, "still", {"speed": "3"})


def test_a_name_cannot_be_taken_twice():
    class Again(GracePeriod):
        name = "hpa"

    with pytest.raises(ValueError, match="'hpa' is taken"):
        registry.register(Again)


class TestModels:
    """Frozen policies are named by their folder (`test_frozen` loads real ones)."""

    @pytest.fixture
    def models(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "models" / "shipped").mkdir(parents=True)
        return tmp_path / "models"

    @pytest.mark.parametrize("how", ["models/shipped", "models/shipped/", "./models/shipped"])
    def test_a_folder_that_is_no_policy(self, models, how):
        with pytest.raises(PolicyError, match=r"models/shipped is not a frozen policy: card\.json"):
            make_policy(how)

    def test_a_frozen_policy_takes_no_parameters(self, models):
        with pytest.raises(PolicyError, match="takes no parameters: write models/shipped"):
            make_policy("models/shipped:guard=no")

    def test_a_rule_goes_before_a_folder_of_its_name(self, models, monkeypatch):
        monkeypatch.chdir(models)
        (models / "grace-period").mkdir()
        assert type(make_policy("grace-period")) is GracePeriod

    def test_unknown_model(self, models):
        with pytest.raises(
            UnknownNameError, match="'models/shiped': did you mean 'models/shipped'"
        ):
            make_policy("models/shiped")


@pytest.mark.parametrize("spec", ["", "  ", ":max_idle_time=3"])
def test_a_policy_needs_a_name(spec):
    with pytest.raises(PolicyError, match="has no name"):
        make_policy(spec)
