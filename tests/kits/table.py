"""The table of cases that every kit passes."""

from __future__ import annotations

from kits import (
    cases_of_demo,
    cases_of_history,
    cases_of_input,
    cases_of_messages,
    cases_of_providers,
    cases_of_rooms,
    cases_of_status,
)

TABLE = (
    *cases_of_status.CASES,
    *cases_of_providers.CASES,
    *cases_of_messages.CASES,
    *cases_of_history.CASES,
    *cases_of_input.CASES,
    *cases_of_demo.CASES,
    *cases_of_rooms.CASES,
)
