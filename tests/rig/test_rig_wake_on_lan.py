"""The network card: what it hears while its machine is off."""

import socket
import subprocess
import time

import pytest

from rigkit import PATIENCE_S, magic_packet, orders, send_magic, wait
from room import HostSpec, Room

SECUREON = "01:02:03:04:05:06"


def test_magic_packet_wakes_a_machine_that_is_off(one, network):
    host = one(kind="wol", powered=False, network=network)
    send_magic(host)
    wait(host.serving)
    assert orders(host, "wol") == ["packet", "on"]
    assert [heard["verdict"] for heard in host.packets()] == ["wake"]


def test_three_copies_are_one_boot(one, network):
    host = one(kind="wol", powered=False, network=network)
    send_magic(host, copies=3)
    wait(host.serving)
    wait(lambda: orders(host, "wol").count("packet") == 3)
    assert orders(host, "wol").count("on") == 1


def test_another_machines_packet_wakes_nothing(rooms, network):
    room = rooms(HostSpec("web1", kind="wol", powered=False),
                 HostSpec("web2", kind="wol", powered=False, boot_s=0.1),
                 network=network)
    send_magic(room["web1"], mac="02:00:00:00:00:01")
    # Sent later: when it has arrived, the first would have too.
    send_magic(room["web2"])
    wait(room["web2"].serving)
    assert not room["web1"].powered()
    assert room["web1"].orders() == [] and room["web1"].packets() == []


def test_secureon_wants_the_right_password(one, network):
    host = one(kind="wol", powered=False, secureon=SECUREON, network=network)
    send_magic(host)
    send_magic(host, password="01:02:03:04:05:07")
    wait(lambda: len(host.packets()) == 2)
    assert {heard["verdict"] for heard in host.packets()} == {"wrong-password"}
    assert host.orders() == [] and not host.powered()
    send_magic(host, password=SECUREON)
    wait(host.serving)


def test_packet_may_stand_anywhere_in_the_payload(one):
    host = one(kind="wol", powered=False, network="loopback")
    address, port = host.wolto.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"before\xff" + magic_packet(host.mac) + b"after",
                      (address, int(port)))
    wait(host.serving)


def test_lost_packets_are_lost(one, network):
    host = one(kind="wol", powered=False, network=network)
    host.fault("lost_packets", 100)
    send_magic(host, copies=3)
    wait(lambda: len(host.packets()) == 3)
    assert {heard["verdict"] for heard in host.packets()} == {"lost"}
    assert not host.powered() and host.orders() == []
    host.heal("lost_packets")
    send_magic(host)
    wait(host.serving)


def test_part_of_the_packets_is_lost_at_random(one):
    host = one(kind="wol", powered=True, network="loopback")
    host.fault("lost_packets", 50)
    for _ in range(20):
        send_magic(host, copies=10)
        time.sleep(0.005)  # the socket's buffer is not what is tested
    wait(lambda: len(host.packets()) == 200)
    lost = [heard["verdict"] for heard in host.packets()].count("lost")
    assert 60 < lost < 140


class TestInNamespaces:
    @pytest.fixture
    def host(self, one, namespaces):
        return one(kind="wol", powered=False, network=namespaces)

    def test_a_machine_that_is_off_has_no_address(self, host):
        address, port = host.place["listen"].split(":")
        with pytest.raises(OSError):
            socket.create_connection((address, int(port)), timeout=5)
        shown = subprocess.run(
            ["ip", "-n", host._room._switch.netns("web1"), "addr", "show", "eth0"],
            text=True, check=True, capture_output=True).stdout
        assert "NOARP" in shown and "inet" not in shown and ",UP" in shown

    def test_any_udp_port_will_do(self, host):
        send_magic(host, port=7)
        wait(host.serving)

    def test_raw_ethertype_0842_will_do(self, host):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((host.wolif, 0))
            sender.send(b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x08\x42"
                        + magic_packet(host.mac))
        wait(host.serving)

    def test_sleeps_and_wakes_again(self, host):
        for _ in range(2):
            send_magic(host)
            wait(host.serving)
            host.power_off(hard=False)
            wait(lambda: not host.powered())
        assert orders(host) == ["packet", "on", "soft"] * 2

    def test_power_cut_leaves_connections_hanging(self, host):
        host.power_on()
        wait(host.serving)
        address, port = host.place["listen"].split(":")
        with socket.create_connection((address, int(port)), timeout=0.5) as client:
            client.send(b"GET /?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
            host.power_off(hard=True)
            # Neither an answer nor the end of the connection: silence.
            with pytest.raises(TimeoutError):
                client.recv(1)

    def test_caller_may_live_in_a_namespace(self, host, tmp_path):
        name = f"gbcaller{id(host) % 100000}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        room = Room(tmp_path / "other", [HostSpec("web1", kind="wol")],
                    network="netns", client_netns=name)
        try:
            room.up()
            assert room["web1"].stats()["served"] == 0
            shown = subprocess.run(["ip", "-n", name, "-br", "addr"], text=True,
                                   check=True, capture_output=True).stdout
            assert room["web1"].wolif in shown
            done = subprocess.run(
                ["ip", "netns", "exec", name, "curl", "-sS", room["web1"].url],
                text=True, check=True, capture_output=True, timeout=PATIENCE_S)
            assert "served by web1" in done.stdout
        finally:
            room.down()
            subprocess.run(["ip", "netns", "del", name], check=True)
