"""What a simulated machine is to be like."""

import re
from dataclasses import dataclass
from typing import Optional

KINDS = ("ipmi", "wol", "both", "plain", "redfish")


@dataclass
class HostSpec:
    name: str
    kind: str = "ipmi"  # by a BMC, magic packets, both, neither, a Redfish service
    boot_s: float = 1.0
    shutdown_s: float = 0.5
    capacity: int = 16
    service_ms: float = 20
    watts: str = "100:200"
    off_watts: float = 5
    tls: bool = False
    secureon: Optional[str] = None
    powered: bool = True
    unix_socket: bool = False
    queue: int = 1000
    law: str = "fixed"  # of the service times: fixed or exponential
    vm: bool = False  # a real virtual machine, with its own kernel; see vm.py

    def __post_init__(self):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", self.name):
            raise ValueError(f"host name {self.name!r}: a-z, 0-9 and - only")
        if self.name in ("switch", "run", "certificate", "redfish"):
            raise ValueError(f"host name {self.name!r} is the room's own")
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind {self.kind!r} is none of {KINDS}")
        if self.tls and self.unix_socket:
            raise ValueError(f"{self.name}: TLS on a unix socket is not supported")
        if self.vm and (self.tls or self.unix_socket):
            raise ValueError(f"{self.name}: a virtual machine serves plain HTTP")

    @property
    def has_bmc(self):
        return self.kind in ("ipmi", "both")

    @property
    def has_nic(self):
        return self.kind in ("wol", "both")

    @property
    def has_redfish(self):
        return self.kind == "redfish"
