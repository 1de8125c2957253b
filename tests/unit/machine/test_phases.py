"""The diagram of the phases in the design is the machine's own."""

from tools.phases import DESIGN, explore, written


def test_the_diagram_in_the_design_is_what_the_machine_does():
    page = DESIGN.read_text(encoding="utf-8")
    assert page == written(page), "run `python tools/phases.py`"


def test_a_change_of_a_transition_changes_the_diagram():
    transitions, shown_as = explore()
    assert transitions["Open", "Closing"] == {"CloseRequested"}
    assert ("Idle", "Open") not in transitions
    assert shown_as["Preparing"] == "connecting"
