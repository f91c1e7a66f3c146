"""The machine room: simulated machines with real power protocols. See rig/README.md."""
