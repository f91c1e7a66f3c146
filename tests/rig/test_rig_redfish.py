"""The room's Redfish service, asked by two clients that are not ours: DMTF's redfishtool
and OpenStack's sushy."""

import json
import os
import subprocess

import pytest

from rigkit import orders, wait
from room import HostSpec

sushy = pytest.importorskip("sushy")


@pytest.fixture
def room(rooms, monkeypatch):
    # requests takes this rather than the authority that it is given.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def bring_up(*specs):
        quick = {"kind": "redfish", "boot_s": 0.1, "shutdown_s": 0.3}
        return rooms(*[HostSpec(name, **{**quick, **more}) for name, more in specs],
                     network="loopback")
    return bring_up


def redfishtool(room, *words, login="Session"):
    return subprocess.run(
        ["redfishtool", "-r", f"127.0.0.1:{room.redfish.port}", "-u", room.redfish.user,
         "-p", room.redfish.password, "-S", "Always", "-A", login, *words],
        text=True, capture_output=True, timeout=60, check=False)


def client(room, login=sushy.auth.SessionOrBasicAuth):
    made = sushy.Sushy(room.redfish.url + "/redfish/v1/", verify=room.redfish.ca,
                       auth=login(room.redfish.user, room.redfish.password))
    return made, {system.identity: system
                  for system in made.get_system_collection().get_members()}


def test_redfishtool_lists_and_switches_systems(room):
    up = room(("web1", {}), ("web2", {"powered": False}))
    listed = json.loads(redfishtool(up, "Systems", "list").stdout)
    assert [each["Id"] for each in listed["Members"]] == ["web1", "web2"]
    for name, reset, login in (("web2", "On", "Session"),
                               ("web1", "GracefulShutdown", "Basic")):
        done = redfishtool(up, "Systems", "-I", name, "reset", reset, login=login)
        assert done.returncode == 0, done.stderr
    wait(up["web2"].serving)
    wait(lambda: not up["web1"].powered())
    assert redfishtool(up, "Systems", "-I", "web2", "reset", "ForceOff").returncode == 0
    assert not up["web2"].powered()
    assert orders(up["web1"]) == ["soft"] and orders(up["web2"]) == ["on", "off"]
    assert up["web1"].orders()[0]["via"] == "redfish"
    assert up.redfish.sessions() == 0  # it logs out


def test_sushy_reads_states_and_switches_systems(room):
    up = room(("web1", {"shutdown_s": 0.5}), ("web2", {"powered": False}))
    service, systems = client(up)
    web1, web2 = systems["web1"], systems["web2"]
    assert (web1.power_state, web2.power_state) == (sushy.PowerState.ON,
                                                    sushy.PowerState.OFF)
    assert sushy.ResetType.GRACEFUL_SHUTDOWN in web1.get_allowed_reset_system_values()
    web1.reset_system(sushy.ResetType.GRACEFUL_SHUTDOWN)
    web1.refresh(force=True)
    assert web1.power_state == sushy.PowerState.POWERING_OFF
    web2.reset_system(sushy.ResetType.ON)
    wait(up["web2"].serving)
    wait(lambda: not up["web1"].powered())
    web1.refresh(force=True)
    web2.refresh(force=True)
    assert (web1.power_state, web2.power_state) == (sushy.PowerState.OFF,
                                                    sushy.PowerState.ON)
    web2.reset_system(sushy.ResetType.FORCE_OFF)
    assert not up["web2"].powered()
    with pytest.raises(sushy.exceptions.InvalidParameterValueError):
        web1.reset_system("fly")
    assert len(service.get_session_service().sessions.get_members()) == 1


def test_sessions_begin_end_and_are_few(room):
    up = room(("web1", {}))
    service, _ = client(up, sushy.auth.SessionAuth)
    assert up.redfish.sessions() == 1
    service.get_session_service().sessions.get_members()[0].delete()
    assert up.redfish.sessions() == 0
    up["web1"].fault("redfish_session_limit")
    with pytest.raises(sushy.exceptions.ServerSideError):
        client(up, sushy.auth.SessionAuth)
    up["web1"].heal()
    up.redfish.password = "wrong"
    with pytest.raises(sushy.exceptions.AccessError):
        client(up)


def test_watts_follow_the_state(room):
    up = room(("web1", {"watts": "80:180", "off_watts": 7}))
    metrics = "/redfish/v1/Chassis/web1/EnvironmentMetrics"
    power = "/redfish/v1/Chassis/web1/Power"
    assert up.redfish.get(metrics)["PowerWatts"]["Reading"] == 80
    up["web1"].power_off()
    assert up.redfish.get(metrics)["PowerWatts"]["Reading"] == 7
    assert up.redfish.get(power)["PowerControl"][0]["PowerConsumedWatts"] == 7
    up["web1"].fault("redfish_null_watts")
    assert up.redfish.get(power)["PowerControl"][0]["PowerConsumedWatts"] is None


def test_service_ends_with_its_room(room):
    up = room(("web1", {}))
    process, folder = up.redfish.process, up.redfish.folder
    assert process.alive() and os.path.exists(folder)
    up.down()
    assert not process.alive() and not os.path.exists(folder)
