#!/usr/bin/env python3
"""Drives pvsd over its control socket: adds a service with a server, prints the table, deletes the service."""
import json, os, socket

def ask(*commands):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ.get("PVS_SOCKET", "/run/pvs/pvsd.sock"))
        s.sendall(json.dumps({"version": 1, "commands": commands}).encode() + b"\n")
        for line in s.makefile("rb"):
            reply = json.loads(line)
            if "error" in reply:
                raise SystemExit(reply["error"])
            yield from reply["outcomes"]
            if reply["last"]:
                return

web = {"protocol": "tcp", "address": "192.0.2.100", "port": 80}
server = {"key": {"address": "10.0.0.1", "port": 80}, "method": "masquerade", "weight": 3}
print(*ask({"add-service": {"key": web, "scheduler": "wrr"}}, {"add-server": {"service": web, "server": server}}))
for part in ask("list-services"):
    for service in part["services"]["services"]:
        print(service["config"]["key"], [s["config"]["key"]["address"] for s in service["servers"]])
print(*ask({"delete-service": web}))
