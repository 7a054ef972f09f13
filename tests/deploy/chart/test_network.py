"""Who may reach whom: each policy is evaluated for real addresses, as a network plugin would."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from renderfarm.fetch.address import Refused, judge
from renderfarm.settings import Settings
from tests.deploy.chart.rendered import VARIANTS, Rendered, render

PRIVATE = (
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0"),
    *("169.254.169.254", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255"),
    *(
        "::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "ff02::1",
    ),
)
PUBLIC = ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e")
#: Where the defaults have the database, the broker and the bucket: anywhere in a private network.
INTERNAL = "10.1.2.3"
WORKERS = {"worker-v3", "worker-v4", "worker-cpu", "worker-fetch"}


def policies(release: Rendered, component: str, direction: str) -> list[dict[str, Any]]:
    """The policies that isolate the component's pods in that direction."""
    return [
        found["spec"]
        for found in release.of("NetworkPolicy").values()
        if direction in found["spec"]["policyTypes"]
        and component in release.matched(found["spec"]["podSelector"])
    ]


def covers(peer: dict[str, Any], address: IPv4Address | IPv6Address) -> bool:
    block = peer.get("ipBlock")
    if block is None:
        return False  # pods, by their labels
    inside = [ipaddress.ip_network(cidr) for cidr in (block["cidr"], *block.get("except", []))]
    return address in inside[0] and not any(address in cut for cut in inside[1:])


def reaches(release: Rendered, component: str, address: str, port: int) -> bool:
    """Whether a pod of the component may open a connection; False where none of its policies says so."""
    to = ipaddress.ip_address(address)
    return any(
        any(covers(peer, to) for peer in rule["to"]) and any(p["port"] == port for p in rule["ports"])
        for policy in policies(release, component, "Egress")
        for rule in policy["egress"]
    )


def test_every_pod_is_isolated_in_both_directions(defaults: Rendered) -> None:
    everything = defaults.of("NetworkPolicy")["network"]["spec"]
    assert set(everything["policyTypes"]) == {"Ingress", "Egress"}
    assert defaults.matched(everything["podSelector"]) == set(defaults.pods())
    spare = render(VARIANTS["two-pools"])
    assert policies(spare, "spare-v4", "Egress") == [spare.of("NetworkPolicy")["network"]["spec"]]


def test_each_component_reaches_what_it_needs_and_nothing_else() -> None:
    release = render({"dispatcher": {"deletionCost": False}})  # else it reaches the cluster's own API, too
    ports = {"database": 5432, "redis": 6379, "storage": 443}
    needs = {
        **{name: set(ports) for name in WORKERS | {"api", "dispatcher"}},
        "courier": {"database", "storage"},
        "exporter": {"database", "redis"},
        "migrate": {"database"},
        "flower": {"redis"},
    }
    for name in release.pods():
        assert {what for what, port in ports.items() if reaches(release, name, INTERNAL, port)} == needs[name]
        assert not reaches(release, name, INTERNAL, 22)


def test_only_whoever_serves_addresses_of_users_reaches_the_internet(defaults: Rendered) -> None:
    outside = {
        name
        for name in defaults.pods()
        if any(reaches(defaults, name, address, port) for address in PUBLIC for port in (80, 443, 5432, 6379))
    }
    assert outside == {"courier", "worker-fetch"}
    for address in PUBLIC:
        assert [reaches(defaults, "courier", address, port) for port in (80, 443, 22, 5432)] == [
            *(True, True),
            *(False, False),
        ]


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"])
def test_nobody_reaches_the_metadata_of_a_cloud(release: Rendered, address: str) -> None:
    if not release.of("NetworkPolicy"):
        return
    ports = (80,) if address.startswith("fd") else (80, 443, 5432, 6379, 6443)
    for name in release.pods():
        assert not [port for port in ports if reaches(release, name, address, port)], name


@pytest.mark.parametrize("address", PRIVATE)
def test_nobody_reaches_private_addresses_but_for_the_services_by_their_ports(
    defaults: Rendered, address: str
) -> None:
    for name in defaults.pods():
        assert not reaches(defaults, name, address, 80), name


def test_the_dispatcher_alone_reaches_the_clusters_api_and_only_where_it_has_a_token() -> None:
    for values, expected in (({}, {"dispatcher"}), ({"dispatcher": {"deletionCost": False}}, set())):
        release = render(values)
        assert {name for name in release.pods() if reaches(release, name, "10.96.0.1", 6443)} == expected


def special() -> Iterator[IPv4Address | IPv6Address]:
    """The ends of every range that is cut out, and what lies beside them; and some of everywhere."""
    internet = render({}).of("NetworkPolicy")["to-internet"]["spec"]["egress"][0]["to"]
    for block in (peer["ipBlock"] for peer in internet):
        for network in map(ipaddress.ip_network, block.get("except", [])):
            for end in (network.network_address, network.broadcast_address):
                yield from (
                    end + step for step in (-1, 0, 1) if 0 <= int(end) + step < 2**network.max_prefixlen
                )
    chance = random.Random(7)
    yield from (IPv4Address(chance.getrandbits(32)) for _ in range(2000))
    yield from (IPv6Address(chance.getrandbits(128)) for _ in range(500))
    yield from (IPv6Address((0b001 << 125) | chance.getrandbits(125)) for _ in range(500))


def test_the_network_lets_through_what_the_farm_itself_would_fetch_and_no_more(defaults: Rendered) -> None:
    settings = Settings(database_url="postgresql://nowhere/none")
    (rule,) = defaults.of("NetworkPolicy")["to-internet"]["spec"]["egress"]
    for address in special():
        try:
            judge(settings, address)
            taken = True
        except Refused:
            taken = False
        assert any(covers(peer, address) for peer in rule["to"]) == taken, address


def test_what_is_cut_out_lies_within_its_block(release: Rendered) -> None:
    for policy in release.of("NetworkPolicy").values():
        for rule in policy["spec"].get("egress", []):
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                whole = ipaddress.ip_network(block["cidr"])
                for cut in map(ipaddress.ip_network, block.get("except", [])):
                    assert cut.version == whole.version and cut.subnet_of(whole) and cut != whole


def test_values_cut_out_more_and_name_the_ports() -> None:
    everything = render(VARIANTS["everything"], "renderfarm")
    assert not reaches(everything, "courier", "2a00:1234::1", 443)
    assert not reaches(everything, "courier", "198.51.1.1", 443)
    assert reaches(everything, "worker-v4", "10.9.1.1", 4318)
    settings = render(VARIANTS["settings"])
    assert [reaches(settings, "worker-fetch", "1.1.1.1", port) for port in (80, 443, 8443)] == [
        False,
        True,
        True,
    ]
    store = render(VARIANTS["own store"])
    assert [reaches(store, "worker-v4", INTERNAL, port) for port in (443, 9000)] == [False, True]
    for endpoint, port in {
        "http://s3.local": 80,
        "https://s3.local/": 443,
        "https://[fd00::1]:8443": 8443,
    }.items():
        one = render({"storage": {"endpoint": endpoint}})
        assert reaches(one, "worker-v4", INTERNAL, port), endpoint


def test_the_api_and_flower_are_asked_by_clients_and_all_metrics_by_scrapers() -> None:
    release = render(VARIANTS["everything"], "renderfarm")
    clients = release.of("NetworkPolicy")["from-clients"]["spec"]
    assert release.matched(clients["podSelector"]) == {"api", "flower"}
    (rule,) = clients["ingress"]
    assert rule["from"] == VARIANTS["everything"]["networkPolicy"]["clients"]
    assert rule["ports"] == [{"port": "http"}]
    (scraping,) = release.of("NetworkPolicy")["network"]["spec"]["ingress"]
    assert scraping["ports"] == [{"port": "metrics"}]
    assert "from" not in render({}).of("NetworkPolicy")["from-clients"]["spec"]["ingress"][0]


def test_it_can_be_left_to_others() -> None:
    assert not render(VARIANTS["no extras"]).of("NetworkPolicy")
