"""Watts over real power protocols, from outside of the proxy."""

import csv
import os
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in ("experiment", "rig")]

import meter  # noqa: E402
from room import HostSpec, Room  # noqa: E402


@pytest.fixture
def room(tmp_path):
    with Room(str(tmp_path / "room"), [
            HostSpec("byipmi", watts="110:200"), HostSpec("byredfish", kind="redfish",
                                                          watts="120:200"),
            HostSpec("bydriver", kind="plain", watts="130:200")], network="loopback") as made:
        yield made


def rows_of(path):
    with open(path, encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_each_machine_is_read_once_a_second_over_its_own_protocol(room, tmp_path):
    folder = tmp_path / "watts"  # as a user may call it: no file of it is found by that word
    folder.mkdir()
    path = str(folder / "watts.csv")
    meters = meter.Meters(room, str(folder))
    assert {name: type(m) for name, m in meters.meters.items()} == {
        "byipmi": meter.Dcmi, "byredfish": meter.Redfish, "bydriver": meter.Driver}
    began = time.time()
    meters.start()
    room.wait(lambda: sum(row["machine"] == "byredfish" for row in rows_of(path)) >= 4, 20)
    took_s = time.time() - began
    meters.stop()
    rows = rows_of(path)
    for name, watts in (("byipmi", "110"), ("byredfish", "120"), ("bydriver", "130")):
        own = [row for row in rows if row["machine"] == name]
        assert {row["watts"] for row in own} == {watts}
        assert 2 <= len(own) <= took_s + 3
        # Rows are rounded to the millisecond; the last one may be of this very one.
        assert all(began - 0.001 <= float(row["t"]) <= time.time() + 0.001 for row in own)
    assert [row["sessions"] for row in rows_of(str(folder / "sessions.csv"))] == ["0"]


def test_a_bmc_that_hangs_or_starts_anew_leaves_a_gap(room):
    host = room["byipmi"]
    dcmi = meter.Dcmi(host)
    try:
        assert dcmi.watts() == 110 and dcmi.sessions() == 0
        host.fault("bmc_hangs")
        assert dcmi.watts() is None
        host.heal()
        room.wait(lambda: dcmi.watts() == 110, 30)
        host.bmc.restart()  # it knows no session of before
        room.save()
        room.wait(lambda: dcmi.watts() == 110, 30)
    finally:
        dcmi.close()


def test_a_redfish_service_that_is_gone_leaves_a_gap(room):
    redfish = meter.Redfish(room["byredfish"], room.redfish)
    assert redfish.watts() == 120
    room["byredfish"].fault("redfish_null_watts")
    assert redfish.watts() is None
    room["byredfish"].heal()
    room.redfish.stop()
    assert redfish.watts() is None
    room.redfish.start()
    room.wait(lambda: redfish.watts() == 120, 20)
    redfish.close()
