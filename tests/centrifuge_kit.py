"""A conversation with a Centrifugo server, as the machine has it: what is said and what follows."""

import json
from dataclasses import replace

from sockstore import Attempt
from sockstore.protocols import Ask, Centrifuge, Opened, Received, WireSubscription, Write

LIMITS = {"rate": 20, "burst": 100, "max_message_bytes": 65536, "remembers": 3600}

OURS = {"client": "c1", "ping": 25, "pong": True, "data": {"sockstore": LIMITS}}
"""The reply to ``connect`` of the server of this package."""

STOCK = {"client": "c1", "ping": 25, "pong": True}
"""That of a stock Centrifugo."""


class Entry:
    """A message on its way out, as the machine has it."""

    def __init__(self, message_id="", expires_at=float("inf")):
        self.id = message_id
        self.expires_at = expires_at
        self.first_sent_at = None


class Talk:
    """One conversation; `commands` are what it wrote since they were looked at last."""

    def __init__(self, protocol=None, memory=None, *, token=None, now=100.0):
        self.protocol = protocol or Centrifuge()
        self.memory = self.protocol.make_memory() if memory is None else memory
        self.conversation = self.protocol.converse(self.memory, Attempt())
        self.now = now
        self.frames = []
        self.tokens = {}  # what the program answers, by subscription; else it does not answer
        given = {} if token is None else {"token": token}
        self.outputs = self.take(self.conversation.open(given, now))

    @classmethod
    def opened(cls, announced=OURS, *args, **kwargs):
        talk = cls(*args, **kwargs)
        (connect,) = talk.commands()
        assert talk.hear({"id": connect["id"], "connect": announced}) == [Opened()]
        return talk

    def take(self, outputs):
        """Return what was said, and note what was written; the texts of messages are left out."""
        said = []
        for output in outputs:
            if isinstance(output, Write):
                self.frames.append(output.frame)
            elif isinstance(output, Ask) and output.subscription in self.tokens:
                token = self.tokens[output.subscription]
                if isinstance(token, Exception):
                    answer = self.conversation.not_told(output, str(token), self.now)
                else:
                    answer = self.conversation.told(output, token, self.now)
                said += self.take(answer)
            elif isinstance(output, Received):
                said.append(replace(output, text=None))
            else:
                said.append(output)
        return said

    def commands(self):
        """Return what was written since the last look."""
        frames, self.frames = self.frames, []
        return [json.loads(line) for frame in frames for line in frame.split("\n")]

    def hear(self, *objects):
        """The server says these, in one message."""
        return self.hear_text("\n".join(map(json.dumps, objects)))

    def hear_text(self, frame):
        return self.take(self.conversation.hear(frame, self.now))

    def tick(self, now=None):
        self.now = self.conversation.deadline if now is None else now
        said = self.take(self.conversation.tick(self.now))
        deadline = self.conversation.deadline
        assert deadline is None or deadline > self.now
        return said

    def ask_for(self, *subscriptions):
        return self.take(self.conversation.subscribe(subscriptions, self.now))

    def leave(self, *subscriptions):
        return self.take(self.conversation.unsubscribe(subscriptions, self.now))

    def room(self, key="r", answer=None, **options):
        """Return a subscription that the server has accepted."""
        subscription = WireSubscription(key, **options)
        self.ask_for(subscription)
        command = self.commands()[-1]
        self.hear({"id": command["id"], "subscribe": history() if answer is None else answer})
        return subscription

    def send(self, subscription, data="1", entry=None):
        """Let a message leave if it may; return its entry, or None if it has to wait."""
        conversation = self.conversation
        for whose in (None, subscription):
            if not conversation.may_send(whose, self.now):
                return None
        entry = entry or Entry()
        self.frames += conversation.send(data, subscription, entry)
        self.memory.add(entry, self.now)
        return entry


def history(offset=0, epoch="e", **more):
    """Return the answer to a subscription of a room that keeps its messages."""
    return {"recoverable": True, "positioned": True, "epoch": epoch, "offset": offset, **more}


def recovered(offset, *publications, epoch="e"):
    """Return the answer to one that asked for what it missed, and gets all of it."""
    more = {"recovered": True, "was_recovering": True, "publications": list(publications)}
    return history(offset, epoch, **more)


def publication(offset, data=None, **more):
    return {"offset": offset, "data": offset if data is None else data, **more}


def push(channel, offset, data=None, **more):
    return {"push": {"channel": channel, "pub": publication(offset, data, **more)}}


def ended(channel, code, reason="bye"):
    return {"push": {"channel": channel, "unsubscribe": {"code": code, "reason": reason}}}
