"""Orders to a machine over its front panel's socket (see rig/wire.c)."""

import socket


def ask(path, order):
    """The answer's text; OSError when the machine refuses or is not there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as panel:
        panel.settimeout(5)
        panel.connect(path)
        panel.send(order.encode())
        answer = panel.recv(256).decode()
    if not answer.startswith("0"):
        raise OSError(f"{path} refuses: {order}")
    return answer[1:].strip()
