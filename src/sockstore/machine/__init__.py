"""Decide what a managed connection does: no I/O, no clock (see `sockstore.machine.machine`)."""

from sockstore.machine.delivery import Outgoing
from sockstore.machine.machine import Machine
from sockstore.machine.memory import Settings
from sockstore.machine.outbox import HandOver, Queued, Refused

__all__ = ["HandOver", "Machine", "Outgoing", "Queued", "Refused", "Settings"]
