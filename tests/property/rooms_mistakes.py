"""The mistakes that a client may make, put into the real conversation from outside."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from tests.property.rooms_model import ROOMS, Mutant

from sockstore import Position
from sockstore.protocols import Failed, Missed

INSIDE = "sockstore.protocols.centrifuge"


class Wrong:
    """What the machine of a client with these mistakes does differently."""

    def __init__(self, mutants):
        self.mutants = mutants

    def memory(self, memory, protocol):
        forgets = Mutant.CLIENT_FORGETS_WHAT_IS_UNDER_WAY in self.mutants
        return protocol.make_memory() if forgets else memory

    def order(self, again, new):
        """Return the messages in the order in which they leave."""
        if Mutant.CLIENT_SENDS_NEW_BEFORE_OLD in self.mutants:
            return [*new, *again]
        return [*again, *new]

    def written(self, frame, entry, ids):
        ids[entry.id] = ids.get(entry.id, 0) + 1
        if Mutant.CLIENT_MAKES_A_NEW_ID in self.mutants:
            return frame.replace(entry.id, f"{entry.id}-{ids[entry.id]}")
        return frame

    def outputs(self, outputs, readers):
        """Return what the conversation would have said."""
        for output in outputs:
            if isinstance(output, Missed):
                if Mutant.CLIENT_FORGETS_A_GAP in self.mutants:
                    continue
                if Mutant.CLIENT_TELLS_ANOTHER_ROOM_OF_A_GAP in self.mutants:
                    place = ROOMS.index(output.subscription.key) - 1
                    other = readers[ROOMS[place]].subscription
                    yield Missed(other, output.reason, output.since, output.until)
                    continue
            yield output


@contextmanager
def made_by(mutants):
    """Let all conversations make these mistakes."""
    with ExitStack() as stack:
        for mutant in mutants & INNER.keys():
            target, make = INNER[mutant]
            place, _, name = target.rpartition(".")
            stack.enter_context(patch(f"{INSIDE}.{place}.{name}", make(original(place, name))))
        yield


def original(place, name):
    """Return what stands there, before it is spoiled."""
    module, _, rest = place.partition(".")
    thing = __import__(f"{INSIDE}.{module}", fromlist=[module])
    for part in [*filter(None, rest.split(".")), name]:
        thing = getattr(thing, part)
    return thing


def ended(push):
    return getattr(push, "code", 0) >= 2500


def trusts(joined_at):
    return lambda seen, answer: joined_at(None if answer.recovered else seen, answer)


def takes_the_offset(replied):
    def replies(rooms, what, reply, now):
        outputs = list(replied(rooms, what, reply, now))
        if "epoch" in reply.result:
            place = Position(reply.result["offset"], reply.result["epoch"])
            what.room.memory.move_to(place)
        return outputs

    return replies


def shares(memory_of):
    everybodys = []

    def memory(subscription):
        everybodys.append(memory_of(subscription))
        subscription.memory = everybodys[0]
        return everybodys[0]

    return memory


def forgets_early_pushes(hear):
    def hears(rooms, push, now):
        room = rooms.get(push.channel)
        return [] if room is not None and room.phase == "joining" else hear(rooms, push, now)

    return hears


def takes_a_late_answer(replied):
    def replies(rooms, what, reply, now):
        room = getattr(what, "room", None)
        newer = None if room is None else rooms.get(room.channel)
        is_joining = newer is not None and newer.phase == "joining"
        return replied(rooms, newer.joining if is_joining else what, reply, now)

    return replies


def asks_for_all(hear):
    def hears(rooms, push, now):
        outputs = list(hear(rooms, push, now))
        if ended(push):
            for other in ROOMS:
                outputs += hear(rooms, replace(push, channel=other), now)
        return outputs

    return hears


def gives_up(hear):
    def hears(rooms, push, now):
        return [Failed(push.reason)] if ended(push) else hear(rooms, push, now)

    return hears


def does_not_leave(put):
    def puts(commands, what, body):
        return None if body.startswith('"unsubscribe"') else put(commands, what, body)

    return puts


def does_nothing(_):
    return lambda *_: None


def always(_):
    return lambda *_: True


def below_nothing(below):
    return lambda *_: below(None, None, 0.0)


INNER = {
    Mutant.CLIENT_TRUSTS_THE_SERVER: ("rooms.joined_at", trusts),
    Mutant.CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION: ("rooms.Rooms.replied", takes_the_offset),
    Mutant.CLIENT_TAKES_WHATEVER_COMES: ("memory.RoomMemory.accept", always),
    Mutant.CLIENT_SHARES_A_POSITION: ("room.memory_of", shares),
    Mutant.CLIENT_IGNORES_THE_PACE: ("conversation.TokenBucket.below", below_nothing),
    Mutant.CLIENT_FORGETS_EARLY_PUSHES: ("rooms.Rooms.hear", forgets_early_pushes),
    Mutant.CLIENT_TAKES_A_LATE_ANSWER: ("rooms.Rooms.replied", takes_a_late_answer),
    Mutant.CLIENT_TELLS_WHAT_WAS_RELEASED: ("rooms.Rooms.unsubscribe", does_nothing),
    Mutant.CLIENT_ASKS_FOR_ALL_ROOMS_AGAIN: ("rooms.Rooms.hear", asks_for_all),
    Mutant.CLIENT_GIVES_UP_THE_CONNECTION: ("rooms.Rooms.hear", gives_up),
    Mutant.CLIENT_DOES_NOT_LEAVE_FIRST: ("commands.CommandQueue.put", does_not_leave),
    Mutant.CLIENT_LOSES_WHAT_IS_NOT_STORED_NOW: ("sending.SentMessages.send_again", does_nothing),
    Mutant.CLIENT_SENDS_AGAIN_AT_ONCE: ("sending.Sending.may_follow", always),
}
"""What each of them spoils, and how."""
