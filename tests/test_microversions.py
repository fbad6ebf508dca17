"""Microversions: the history, and everything that changes with them."""

import importlib
import pkgutil
from collections.abc import Iterator
from inspect import isfunction
from typing import Any

import pytest
from django.apps import apps
from hypothesis import given
from hypothesis import strategies as st

from portal.api.endpoints import Endpoint
from portal.api.serializers import VersionedSerializer
from portal.api.views import NovaViewSet
from portal.microversions import HISTORY, MAX_VERSION, MIN_VERSION, Version, Versioned, before

VERSIONS = [version for version, _ in HISTORY]
minors = st.integers(0, 200)


def test_history_is_sorted_and_unique() -> None:
    assert sorted(set(VERSIONS)) == VERSIONS
    assert VERSIONS[0] == MIN_VERSION == (2, 1)
    assert VERSIONS[-1] <= MAX_VERSION
    assert all(text.endswith(".") for _, text in HISTORY)


def test_versions_compare_as_numbers() -> None:
    assert Version.parse("2.9") < Version.parse("2.53") < Version.parse("2.100")
    assert str(Version.parse("2.100")) == "2.100"


@pytest.mark.parametrize(
    "text",
    ["", "2", "2.", ".1", "2.01", "02.1", "2.1.1", "2.1 ", " 2.1", "v2.1", "2,1", "-2.1"],
)
def test_malformed_versions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^" + text.replace(".", r"\.") + "$"):
        Version.parse(text)


@given(st.dictionaries(minors, st.one_of(st.none(), st.text()), min_size=1), minors)
def test_a_value_holds_from_its_step_to_the_next(steps: dict[int, str | None], minor: int) -> None:
    """No gap and no overlap: at any version, the last step up to it applies."""
    versioned = Versioned({f"2.{step}": steps[step] for step in sorted(steps)})
    reached = [step for step in sorted(steps) if step <= minor]
    assert versioned.at(Version(2, minor)) == (steps[reached[-1]] if reached else None)


@given(st.integers(2, 200), minors)
def test_before_a_version_ends_with_the_one_before_it(end: int, minor: int) -> None:
    value = before(f"2.{end}", "value").at(Version(2, minor))
    assert value == ("value" if 1 <= minor < end else None)


@given(st.lists(minors, min_size=2, unique=True).filter(lambda them: them != sorted(them)))
def test_steps_out_of_order_are_refused(unsorted: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        Versioned({f"2.{step}": "" for step in unsorted})


def test_empty_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        Versioned({})


# --- the declarations in the code -----------------------------------------------------------------


def modules() -> Iterator[Any]:
    """Every module of the portal and its apps, except migrations and what starts a process."""
    for config in apps.get_app_configs():
        if config.name not in ("portal", "cells", "services", "hypervisors", "audit", "aggregates"):
            continue
        for found in pkgutil.walk_packages([config.path], f"{config.name}."):
            if not {"migrations", "wsgi", "gunicorn"} & set(found.name.split(".")):
                yield importlib.import_module(found.name)


def values_of(thing: Any) -> Iterator[Any]:
    """``thing``, or what it declares: the values of a mapping, the fields of an endpoint."""
    if isinstance(thing, dict):
        yield from thing.values()
    elif isfunction(thing) and isinstance(declared := getattr(thing, "endpoint", None), Endpoint):
        yield from vars(declared).values()
    else:
        yield thing


def all_versioned() -> dict[str, Versioned[Any]]:
    """Every ``Versioned``, by its location in a module, a class, a mapping or an endpoint."""
    found: dict[str, Versioned[Any]] = {}
    for module in modules():
        for name, value in vars(module).items():
            inside = dict(vars(value)) if isinstance(value, type) else {"": value}
            for inner_name, inner in inside.items():
                for number, item in enumerate(values_of(inner)):
                    if isinstance(item, Versioned):
                        found[f"{module.__name__}.{name}.{inner_name}.{number}"] = item
    return found


def subclasses(parent: type[Any]) -> set[type[Any]]:
    """``parent`` and the portal's subclasses, without those of tests."""
    children = [child for child in parent.__subclasses__() if "tests" not in child.__module__]
    return {parent}.union(*(subclasses(child) for child in children))


def test_all_declarations_are_found() -> None:
    found = {id(versioned) for versioned in all_versioned().values()}
    serializers = subclasses(VersionedSerializer)
    views = subclasses(NovaViewSet)
    assert len(serializers) >= 5
    assert len(views) >= 4
    fields = [field for kind in serializers for field in getattr(kind, "versioned", {}).values()]
    assert any(id(field) in found for field in fields)
    for view in views:
        for value in vars(view).values():
            for item in values_of(value):
                assert not isinstance(item, Versioned) or id(item) in found


def test_every_step_is_in_the_history() -> None:
    unknown = {
        f"{where}: {version}"
        for where, versioned in all_versioned().items()
        for version, _ in versioned.steps()
        if version not in VERSIONS
    }
    assert not unknown


def test_every_version_of_the_history_changes_something() -> None:
    used = {version for versioned in all_versioned().values() for version, _ in versioned.steps()}
    assert set(VERSIONS[1:]) <= used


def test_no_step_repeats_the_value_before_it() -> None:
    idle = {
        f"{where}: {version}"
        for where, versioned in all_versioned().items()
        for (version, value), (_, before) in zip(
            list(versioned.steps())[1:], versioned.steps(), strict=False
        )
        if value == before
    }
    assert not idle
