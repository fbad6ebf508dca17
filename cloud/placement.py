"""Placement: providers, what they have and what is used of it, and deleting them as Nova does.

Talks to the endpoint of ``[placement]`` (or of the catalogue) by keystoneauth1, with the service
user that is configured there.  Every request ends with the deadline.  Microversions are those
that Nova's report client uses for the same requests (``nova/scheduler/client/report.py``).
"""

import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import loading
from requests import Response

from cloud.auth_plugins import declare_plugin, declare_session
from cloud.causes import one_line
from cloud.config import NovaConfig
from cloud.deadlines import BoundedExecutor, CloudError
from cloud.providers import (
    SHARES_VIA_AGGREGATE,
    GenerationConflict,
    Inventory,
    PlacementRefused,
    PlacementUnavailable,
    Provider,
    ProviderDetail,
    ProviderInUse,
    ProviderNotFound,
    inventory_from,
    provider_from,
    top_down,
)

T = TypeVar("T")

GROUP: Final = "placement"

_TRAITS: Final = "1.6"
_NESTED: Final = "1.14"
_REQUIRED: Final = "1.18"
_AGGREGATES: Final = "1.19"
_CONSUMER_GENERATION: Final = "1.28"


class Placement:
    """The placement of ``[placement]``.  Thread-safe; one per process is enough.

    ``deadline`` is for each request, and ``bulk_deadline`` for one about all providers;
    ``retry_after`` as in ``cloud.deadlines.BoundedExecutor``; all in seconds.
    """

    def __init__(
        self,
        config: NovaConfig,
        *,
        deadline: float,
        retry_after: float,
        bulk_deadline: float = 30,
    ) -> None:
        self._bulk_deadline = bulk_deadline
        conf = config.oslo_config()
        declare_session(config, conf, GROUP)
        declare_plugin(config, conf, GROUP)
        conf.set_default("service_type", "placement", group=GROUP)
        conf.set_default("valid_interfaces", ["internal", "public"], group=GROUP)  # nova.conf.utils
        for name in ("version", "min_version", "max_version"):  # the code's affair, as in Nova
            conf.set_override(name, None, group=GROUP)
        try:
            auth = loading.load_auth_from_conf_options(conf, GROUP)
            session = loading.load_session_from_conf_options(conf, GROUP, auth=auth)
            self._adapter = loading.load_adapter_from_conf_options(
                conf, GROUP, session=session, auth=auth, raise_exc=False
            )
        except (ksa_exceptions.ClientException, ValueError, TypeError) as error:
            raise config.error(GROUP, error) from None
        self._executor = BoundedExecutor(
            "placement", PlacementUnavailable, deadline=deadline, retry_after=retry_after
        )
        # What is asked about all providers must not keep others waiting.
        self._bulk_executor = BoundedExecutor(
            "placement", PlacementUnavailable,
            deadline=bulk_deadline, retry_after=retry_after, max_workers=4,
        )  # fmt: skip

    # --- reading -----------------------------------------------------------------------------

    def providers(self) -> list[Provider]:
        """All resource providers, in one request: placement has no pages for them."""
        return self._providers("", deadline=self._bulk_deadline)

    def providers_in_tree(self, member: str) -> list[Provider]:
        """The whole tree that the provider ``member`` is in, empty when there is none."""
        return self._executor.call(
            lambda: _providers_in(self._send("GET", _path_of_tree(member), _NESTED))
        )

    def trees(self, members: Iterable[str]) -> dict[str, list[Provider]]:
        """``providers_in_tree`` of many, asked side by side, all within one deadline.

        Raises a ``CloudError`` unless all are known then.
        """
        found, missing = self._side_by_side(
            lambda member: _providers_in(self._send("GET", _path_of_tree(member), _NESTED)),
            members,
            self._executor.deadline,
            self._executor,
        )
        for error in missing.values():
            raise error
        return found

    def sharing_providers(self) -> list[Provider]:
        """Those that share what they have with others, such as disk; they are no hosts."""
        query = f"?required={SHARES_VIA_AGGREGATE}"
        return _providers_in(
            self._request(
                "GET", f"/resource_providers{query}", _REQUIRED, deadline=self._bulk_deadline
            )
        )

    def provider_named(self, name: str) -> Provider | None:
        """The provider with that name, which is unique; a compute node's is its hostname."""
        found = self._providers(f"?name={quote(name, safe='')}")
        return found[0] if found else None

    def _providers(self, query: str, deadline: float | None = None) -> list[Provider]:
        return _providers_in(
            self._request("GET", f"/resource_providers{query}", _NESTED, deadline=deadline)
        )

    def inventories(self, provider: str) -> list[Inventory]:
        """What the provider has, and how much of it is used."""
        path = f"/resource_providers/{_uuid(provider)}"
        found = self._get(f"{path}/inventories", _NESTED)["inventories"]
        used = self._get(f"{path}/usages", _NESTED)["usages"] if found else {}
        return [
            inventory_from(name, data, used.get(name, 0)) for name, data in sorted(found.items())
        ]

    def usages(self, provider: str) -> dict[str, int]:
        """How much of each resource class is used, by its name."""
        found: dict[str, int] = self._get(f"/resource_providers/{_uuid(provider)}/usages", _NESTED)[
            "usages"
        ]
        return found

    def traits(self, provider: str) -> list[str]:
        """The provider's traits, sorted."""
        found = self._get(f"/resource_providers/{_uuid(provider)}/traits", _TRAITS)
        return sorted(found["traits"])

    def aggregates(self, provider: str) -> list[str]:
        """Uuids of the aggregates that the provider is in; a host aggregate's is the same."""
        return self._aggregates(provider)[0]

    def _aggregates(self, provider: str) -> tuple[list[str], int]:
        path = f"/resource_providers/{_uuid(provider)}/aggregates"
        found = self._get(path, _AGGREGATES)
        return sorted(found["aggregates"]), found["resource_provider_generation"]

    def allocations(self, provider: str) -> dict[str, dict[str, int]]:
        """What consumers have of the provider: by consumer uuid, amounts by resource class.

        A consumer is a server, or a migration that holds what its server had.
        """
        return self._executor.call(lambda: self._allocations(provider))

    def _allocations(self, provider: str) -> dict[str, dict[str, int]]:
        path = f"/resource_providers/{_uuid(provider)}/allocations"
        found = _json(self._send("GET", path, _NESTED))["allocations"]
        return {consumer: data["resources"] for consumer, data in sorted(found.items())}

    def allocations_by_provider(
        self, providers: Iterable[str], *, deadline: float | None = None
    ) -> tuple[dict[str, dict[str, dict[str, int]]], dict[str, str]]:
        """``allocations`` of many providers, and for those that are missing why.

        Placement has no request for more than one, so they are asked side by side, all within
        ``deadline`` seconds (``bulk_deadline`` unless given).
        """
        found, missing = self._side_by_side(
            self._allocations,
            providers,
            deadline or self._bulk_deadline,
            self._executor if deadline else self._bulk_executor,
        )
        return found, {provider: str(error) for provider, error in missing.items()}

    def _side_by_side(
        self,
        ask: Callable[[str], T],
        members: Iterable[str],
        deadline: float,
        executor: BoundedExecutor,
    ) -> tuple[dict[str, T], dict[str, CloudError]]:
        """What ``ask`` finds for each member within ``deadline`` seconds, and why not."""
        if executor.is_open():
            away = PlacementUnavailable(executor.last_error)
            return {}, dict.fromkeys(members, away)
        futures = {member: executor.submit(partial(ask, member)) for member in members}
        wait(futures.values(), timeout=deadline)
        found: dict[str, T] = {}
        missing: dict[str, CloudError] = {}
        for member, future in futures.items():
            if future.cancel() or not future.done():
                missing[member] = executor.failed(f"no answer within {deadline:g} s")
                continue
            try:
                found[member] = future.result()
            except CloudError as error:
                missing[member] = error
        return found, missing

    def detail(self, member: str) -> list[ProviderDetail]:
        """The tree that the provider ``member`` is in, each with all there is to say of it.

        All within one deadline.
        """
        until = time.monotonic() + self._executor.deadline
        tree = {provider.uuid: provider for provider in top_down(self.providers_in_tree(member))}
        found, missing = self._side_by_side(
            lambda uuid: self._detail_of(tree[uuid]),
            tree,
            max(0.0, until - time.monotonic()),
            self._executor,
        )
        for error in missing.values():
            raise error
        return list(found.values())

    def _detail_of(self, provider: Provider) -> ProviderDetail:
        def ask(part: str, microversion: str) -> Any:
            path = f"/resource_providers/{_uuid(provider.uuid)}/{part}"
            return _json(self._send("GET", path, microversion))[part]

        used = ask("usages", _NESTED)
        return ProviderDetail(
            provider,
            tuple(
                inventory_from(name, data, used.get(name, 0))
                for name, data in sorted(ask("inventories", _NESTED).items())
            ),
            tuple(sorted(ask("traits", _TRAITS))),
            tuple(sorted(ask("aggregates", _AGGREGATES))),
            self._allocations(provider.uuid),
        )

    # --- changing ----------------------------------------------------------------------------

    def remove_from_aggregate(self, node_name: str, aggregate: str) -> bool:
        """Take the provider called ``node_name`` out of an aggregate; whether it was in it.

        What Nova does for the first compute node of a host that leaves a host aggregate
        (``aggregate_remove_host``), before it changes the API database.  A provider there is
        not is no error.  Raises ``GenerationConflict`` when someone else changed it: try again.
        """
        provider = self.provider_named(node_name)
        if provider is None:
            return False
        aggregates, generation = self._aggregates(provider.uuid)
        if aggregate not in aggregates:
            return False
        body = {
            "aggregates": [other for other in aggregates if other != aggregate],
            "resource_provider_generation": generation,
        }
        path = f"/resource_providers/{provider.uuid}/aggregates"
        self._request("PUT", path, _AGGREGATES, body)
        return True

    def delete_resource_provider(
        self, node: str, *, servers: Iterable[str] = (), evacuated: Iterable[str] = ()
    ) -> list[ProviderInUse]:
        """Delete the provider tree of a compute node, as Nova does when it deletes the service.

        With Nova's ``cascade=True``: first all allocations of ``servers`` (uuids of the servers
        that the cell has on the host and node), then of ``evacuated`` (servers with an evacuation
        away from the host that is ``done``) what they still have of this tree, then the tree's
        providers from the leaves up.  Deleting what is gone already is no error, so this can be
        repeated after any interruption.

        A provider that others still have allocations of is left, with its parents, and Nova goes
        on as if nothing were; here they are returned, for the record.  A node without a provider
        returns nothing, where Nova fails with a ``ValueError`` (500); whether that should be
        refused is for the caller to ask before it changes anything.
        """
        for server in servers:
            self._delete(f"/allocations/{_uuid(server)}")
        tree = top_down(self.providers_in_tree(node))
        members = {provider.uuid for provider in tree}
        for server in evacuated:
            self._remove_from_consumer(server, members)
        left: list[ProviderInUse] = []
        for provider in reversed(tree):
            try:
                self._delete(f"/resource_providers/{provider.uuid}")
            except ProviderInUse as error:
                left.append(error)
        return left

    def _remove_from_consumer(self, consumer: str, providers: set[str]) -> None:
        """``remove_provider_tree_from_instance_allocation`` of Nova's report client."""
        path = f"/allocations/{_uuid(consumer)}"
        current = self._get(path, _CONSUMER_GENERATION)
        kept = {
            provider: data
            for provider, data in current["allocations"].items()
            if provider not in providers
        }
        if len(kept) == len(current["allocations"]):
            return
        self._request("PUT", path, _CONSUMER_GENERATION, {**current, "allocations": kept})

    def _delete(self, path: str) -> None:
        with suppress(ProviderNotFound):  # already gone, which is what was wanted
            self._request("DELETE", path, None)

    # --- requests ----------------------------------------------------------------------------

    def _get(self, path: str, microversion: str, deadline: float | None = None) -> Any:
        return _json(self._request("GET", path, microversion, deadline=deadline))

    def _request(
        self,
        method: str,
        path: str,
        microversion: str | None,
        body: Any = None,
        deadline: float | None = None,
    ) -> Response:
        return self._executor.call(
            lambda: self._send(method, path, microversion, body, deadline), deadline=deadline
        )

    def _send(
        self,
        method: str,
        path: str,
        microversion: str | None,
        body: Any = None,
        timeout: float | None = None,
    ) -> Response:
        try:
            response: Response = self._adapter.request(
                path,
                method,
                json=body,
                microversion=microversion,
                headers={"Accept": "application/json"},
                connect_retries=0,
                timeout=timeout or self._executor.deadline,
            )
        except ksa_exceptions.ClientException as error:
            raise PlacementUnavailable(f"placement: {one_line(error)}") from None
        if response.status_code < 400:
            return response
        text = f"placement: {method} {path}: {_reason(response)}"
        if response.status_code >= 500 or response.status_code == 401:
            raise PlacementUnavailable(text)
        raise _refusal(response, text)


def _refusal(response: Response, text: str) -> PlacementRefused:
    status = response.status_code
    if status == 404:
        return ProviderNotFound(text, status)
    if status == 409:
        # Only a request that was made on the strength of a generation conflicts with another.
        made_of_generation = response.request.method in ("PUT", "POST")
        return (GenerationConflict if made_of_generation else ProviderInUse)(text, status)
    return PlacementRefused(text, status)


def _path_of_tree(member: str) -> str:
    return f"/resource_providers?in_tree={_uuid(member)}"


def _providers_in(response: Response) -> list[Provider]:
    return [provider_from(data) for data in _json(response)["resource_providers"]]


def _json(response: Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise PlacementUnavailable(f"placement: no JSON from {response.url}") from None


def _reason(response: Response) -> str:
    """Status and explanation in one line; a proxy in front answers with something else."""
    try:
        text = str(response.json()["errors"][0]["detail"])
    except (ValueError, LookupError, TypeError):
        text = response.reason or ""
    return f"{response.status_code} {' '.join(text.split())}"


def _uuid(text: str) -> str:
    """``text``, which must be a uuid: it becomes a part of a path.  Raises ``ValueError``."""
    return str(uuid.UUID(text))
