"""The hours of the day: the clock, the two loops, their threads, systemd and signals."""
