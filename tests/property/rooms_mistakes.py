"""The mistakes that a client may make, put into the real conversation from outside."""

from tests.property.rooms_model import ROOMS, Mutant

from sockstore import Position
from sockstore.protocols import Failed, Missed
from sockstore.protocols.centrifuge import rooms as inside


class Wrong:
    """What a client with these mistakes does differently."""

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

    def spoil(self, talk):
        """Change what one conversation does."""
        rooms, mutants = talk._rooms, self.mutants
        if Mutant.CLIENT_SHARES_A_POSITION in mutants:
            _share_positions(rooms)
        if Mutant.CLIENT_TAKES_WHATEVER_COMES in mutants:
            rooms._published = lambda room, said, now: inside.told_of(
                room.subscription, said, room.memory.epoch
            )
        if Mutant.CLIENT_TRUSTS_THE_SERVER in mutants:
            _trust(rooms)
        if Mutant.CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION in mutants:
            _take_the_offset(rooms)
        if Mutant.CLIENT_IGNORES_THE_PACE in mutants:
            talk._commands.pace = talk._commands.pace.unlimited()
            talk._connected = _unpaced(talk, talk._connected)
        if Mutant.CLIENT_FORGETS_EARLY_PUSHES in mutants:
            _forget_early_pushes(rooms)
        if Mutant.CLIENT_TAKES_A_LATE_ANSWER in mutants:
            _take_late_answers(rooms)
        if Mutant.CLIENT_TELLS_WHAT_WAS_RELEASED in mutants:
            rooms.unsubscribe = lambda subscription: None
        if Mutant.CLIENT_ASKS_FOR_ALL_ROOMS_AGAIN in mutants:
            _ask_for_all(rooms)
        if Mutant.CLIENT_DOES_NOT_LEAVE_FIRST in mutants:
            rooms._leave = lambda room: None
        if Mutant.CLIENT_GIVES_UP_THE_CONNECTION in mutants:
            rooms._mend = lambda room, why, now: [Failed(why)]
        if Mutant.CLIENT_LOSES_WHAT_IS_NOT_STORED_NOW in mutants:
            talk._sending._sent = _Forgetful(talk._sending._sent)
        if Mutant.CLIENT_SENDS_AGAIN_AT_ONCE in mutants:
            talk._sending.may_follow = lambda channel, now: True


class _Forgetful:
    """Does not send again what the server could not take."""

    def __init__(self, sent):
        self.new_id = sent.new_id

    def send_again(self, entry):
        pass


def _share_positions(rooms):
    join = rooms._join

    def joins(room):
        first = next(iter(rooms._by_channel.values()))
        room.memory.move_to(first.memory.position)
        return join(room)

    rooms._join = joins


def _trust(rooms):
    granted = rooms._granted

    def trusts(room, answer, now):
        if answer.recovered and answer.publications:
            first = answer.publications[0].offset
            position = room.memory.position
            room.memory.move_to(Position(first - 1, position.epoch, position.id))
        return granted(room, answer, now)

    rooms._granted = trusts


def _take_the_offset(rooms):
    granted = rooms._granted

    def grants(room, answer, now):
        outputs = granted(room, answer, now)
        room.memory.move_to(Position(answer.offset, answer.epoch))
        return outputs

    rooms._granted = grants


def _unpaced(talk, connected):
    def connects(reply, now):
        outputs = connected(reply, now)
        talk._commands.pace = talk._commands.pace.unlimited()
        return outputs

    return connects


def _forget_early_pushes(rooms):
    granted = rooms._granted

    def grants(room, answer, now):
        room.early.clear()
        return granted(room, answer, now)

    rooms._granted = grants


def _take_late_answers(rooms):
    answered = rooms._answered

    def answers(what, room, reply, now):
        newer = rooms._by_channel.get(room.channel, room)
        return answered(newer.joining or what, newer, reply, now)

    rooms._answered = answers


def _ask_for_all(rooms):
    mend = rooms._mend

    def mends(room, why, now):
        outputs = list(mend(room, why, now))
        for other in list(rooms._by_channel.values()):
            if other is not room and other.phase == "joined":
                rooms._leave(other)
                outputs += rooms._join(other)
        return outputs

    rooms._mend = mends
