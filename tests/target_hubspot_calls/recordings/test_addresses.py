from __future__ import annotations

from ipaddress import ip_address

import pytest

from target_hubspot_calls.recordings.addresses import Reach, reach_of


@pytest.mark.parametrize(
    "written",
    ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::5db8:d70e", "::ffff:1.1.1.1"],
)
def test_an_address_of_the_internet_is_public(written):
    assert reach_of(ip_address(written)) is Reach.PUBLIC


@pytest.mark.parametrize(
    "written",
    ["127.0.0.1", "127.8.9.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "::1", "fd12::1",
     "fd00:ec2::254", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1"],
)  # fmt: skip
def test_an_address_of_this_network_is_private_in_whatever_wrapping(written):
    assert reach_of(ip_address(written)) is Reach.PRIVATE


@pytest.mark.parametrize(
    "written",
    [
        "0.0.0.0", "0.1.2.3", "169.254.169.254", "100.100.100.200", "100.64.0.1", "192.0.0.192",
        "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.5", "224.0.0.1",
        "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::127.0.0.1", "::8.8.8.8", "::ffff:169.254.169.254", "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1",
        "3fff::1", "5f00::1", "100::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff0e::1", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_that_is_nobodys_is_never_asked(written):
    assert reach_of(ip_address(written)) is Reach.NEVER
