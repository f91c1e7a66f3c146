"""What a GET on the room's Redfish service shows: one ComputerSystem and one Chassis for
each machine."""

from . import wire

ROOT = "/redfish/v1"
SESSIONS = ROOT + "/SessionService/Sessions"
MONITORS = ROOT + "/TaskService/TaskMonitors"

RESETS = ["On", "ForceOn", "GracefulShutdown", "ForceOff", "ForceRestart",
          "GracefulRestart", "PowerCycle", "PushPowerButton"]
_BUTTON = ["On", "ForceOff", "PushPowerButton"]

_STATES = {"off": "Off", "booting": "PoweringOn", "stopping": "PoweringOff"}


def power_state(machine):
    phase = wire.ask(machine["panel"], "redfish get phase").removeprefix("phase:")
    return _STATES.get(phase, "On")


def watts(machine):
    with open(machine["watts_file"], encoding="ascii") as file:
        return int(file.read())


def _resource(path, kind, name, **more):
    return {"@odata.id": path, "@odata.type": f"#{kind}.v1_0_0.{kind}",
            "Id": path.rsplit("/", 1)[1], "Name": name, **more}


def _collection(path, kind, members):
    return {"@odata.id": path, "@odata.type": f"#{kind}Collection.{kind}Collection",
            "Name": f"{kind} Collection", "Members@odata.count": len(members),
            "Members": [{"@odata.id": member} for member in members]}


def root(has_sessions):
    shown = {"@odata.id": ROOT + "/", "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot",
             "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.9.0",
             "UUID": "4c4c4544-0067-6210-8000-000000000000",
             "Systems": {"@odata.id": ROOT + "/Systems"},
             "Chassis": {"@odata.id": ROOT + "/Chassis"},
             "Tasks": {"@odata.id": ROOT + "/TaskService"}, "Links": {}}
    if has_sessions:
        shown["SessionService"] = {"@odata.id": ROOT + "/SessionService"}
        shown["Links"]["Sessions"] = {"@odata.id": SESSIONS}
    return shown


def _session_service():
    return _resource(ROOT + "/SessionService", "SessionService", "Session Service",
                     ServiceEnabled=True, SessionTimeout=1800,
                     Sessions={"@odata.id": SESSIONS})


def _reset(path, faults):
    action = {"target": path + "/Actions/ComputerSystem.Reset"}
    if "redfish_action_info" in faults:
        action["@Redfish.ActionInfo"] = path + "/ResetActionInfo"
    else:
        action["ResetType@Redfish.AllowableValues"] = allowed(faults)
    return action


def allowed(faults):
    return _BUTTON if "redfish_button_only" in faults else RESETS


def _system(name, machine, faults):
    path = f"{ROOT}/Systems/{name}"
    return _resource(
        path, "ComputerSystem", name, SystemType="Physical",
        PowerState=power_state(machine), Status={"State": "Enabled", "Health": "OK"},
        Boot={"BootSourceOverrideEnabled": "Disabled",
              "BootSourceOverrideTarget": "None", "BootSourceOverrideMode": "UEFI"},
        Links={"Chassis": [{"@odata.id": f"{ROOT}/Chassis/{name}"}]},
        Actions={"#ComputerSystem.Reset": _reset(path, faults)})


def _action_info(name, faults):
    return _resource(
        f"{ROOT}/Systems/{name}/ResetActionInfo", "ActionInfo", "Reset",
        Parameters=[{"Name": "ResetType", "Required": True, "DataType": "String",
                     "AllowableValues": allowed(faults)}])


def _chassis(name, machine):
    path = f"{ROOT}/Chassis/{name}"
    return _resource(
        path, "Chassis", name, ChassisType="RackMount", PowerState=power_state(machine),
        EnvironmentMetrics={"@odata.id": path + "/EnvironmentMetrics"},
        Power={"@odata.id": path + "/Power"},
        Links={"ComputerSystems": [{"@odata.id": f"{ROOT}/Systems/{name}"}]})


def _metrics(name, machine, faults):
    reading = None if faults & {"redfish_null_watts", "redfish_old_watts"} \
        else watts(machine)
    return _resource(f"{ROOT}/Chassis/{name}/EnvironmentMetrics", "EnvironmentMetrics",
                     "Environment Metrics", PowerWatts={"Reading": reading})


def _power(name, machine, faults):
    path = f"{ROOT}/Chassis/{name}/Power"
    reading = None if "redfish_null_watts" in faults else watts(machine)
    return _resource(path, "Power", "Power", PowerControl=[
        {"@odata.id": path + "#/PowerControl/0", "MemberId": "0",
         "Name": "System Power", "PowerConsumedWatts": reading}])


def look_up(path, machines, faults_of, sessions):
    """The resource at a path, or None; sessions: their ids and users."""
    words = path[len(ROOT):].strip("/").split("/") if path.startswith(ROOT) else None
    if words is None:
        return {"v1": ROOT + "/"} if path == "/redfish" else None
    if words == ["SessionService"]:
        return _session_service()
    if words == ["SessionService", "Sessions"]:
        return _collection(SESSIONS, "Session", [f"{SESSIONS}/{i}" for i in sessions])
    if words[:2] == ["SessionService", "Sessions"] and words[2] in sessions:
        return _resource(path, "Session", "Session", UserName=sessions[words[2]])
    if words in (["Systems"], ["Chassis"]):
        kind = {"Systems": "ComputerSystem", "Chassis": "Chassis"}[words[0]]
        return _collection(path, kind, [f"{path}/{name}" for name in machines])
    if len(words) < 2 or words[1] not in machines:
        return None
    name, machine, faults = words[1], machines[words[1]], faults_of(words[1])
    show = {("Systems",): lambda: _system(name, machine, faults),
            ("Systems", "ResetActionInfo"): lambda: _action_info(name, faults),
            ("Chassis",): lambda: _chassis(name, machine),
            ("Chassis", "EnvironmentMetrics"): lambda: _metrics(name, machine, faults),
            ("Chassis", "Power"): lambda: _power(name, machine, faults)}
    shown = show.get((words[0], *words[2:]))
    return shown() if shown else None
