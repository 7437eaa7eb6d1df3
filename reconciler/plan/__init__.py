"""Desired state x live state x policy -> Plan, its guards and its renderings. Pure."""
