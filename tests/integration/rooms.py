"""A fake server that speaks the session of PROTOCOL.md, for one room."""

import json

from greeting_server import GreetingServer


class RoomServer(GreetingServer):
    """Answers commands; tests look at what was asked, and make it misbehave."""

    def __init__(self, *script, limits=None):
        super().__init__(*script)
        self.epoch = "e1"
        self.log = []
        self.first = 1
        self.asked = []
        self.limits = {"rate": 1000, "burst": 1000, "max_message_bytes": 65536, "remembers": 3600}
        self.limits |= limits or {}
        self.is_stock = False
        self.answers = {}
        self.is_mute = False
        self.refuses = lambda asked: None

    def greet(self, peer):
        peer.on_message = lambda frame: self.hear(peer, frame)

    @property
    def sent(self):
        """The rpc and publish commands so far."""
        return [c for c in self.asked if "rpc" in c or "publish" in c]

    def hear(self, peer, frame):
        commands = [json.loads(line) for line in frame.split("\n")]
        self.asked += commands
        if self.is_mute:
            return
        replies = [reply for each in commands if each and (reply := self.answer(each))]
        if replies:
            peer.send("\n".join(map(json.dumps, replies)))

    def answer(self, command):
        number = command["id"]
        (name,) = set(command) - {"id"}
        if (refusal := self.refuses(command[name])) is not None:
            return {"id": number, **refusal}
        if name in self.answers:
            return {"id": number, **self.answers[name]}
        return {"id": number, name: getattr(self, f"answer_{name}")(command[name])}

    def answer_connect(self, asked):
        return (
            {"client": "c"}
            if self.is_stock
            else {"client": "c", "data": {"sockstore": self.limits}}
        )

    def answer_subscribe(self, asked):
        answer = {"epoch": self.epoch, "offset": len(self.log), "recoverable": True}
        last = {"last": self.log[-1]["tags"]["id"]} if self.log else {}
        if not asked.get("recover"):
            return answer | {"data": last}
        answer["was_recovering"] = True
        offset = asked["offset"]
        same = asked["epoch"] in {"", self.epoch}
        known = (
            not offset
            or "data" not in asked
            or (
                offset <= len(self.log)
                and self.log[offset - 1]["tags"]["id"] == asked["data"]["last"]
            )
        )
        if same and known and offset + 1 >= self.first:
            # What is asked from comes back as the offset; the publications carry the rest.
            missed = self.log[offset:]
            answer |= {"recovered": True, "offset": offset, "publications": missed}
            return answer if missed else answer | {"data": last}
        if same and not known:
            return answer | {"data": {**last, "reason": "forked"}}
        return answer | {
            "data": {"reason": "trimmed" if same else "epoch"},
            "publications": self.log[self.first - 1 :],
        }

    def answer_rpc(self, asked):
        message = asked["data"]
        found = [p for p in self.log if p["tags"]["id"] == message["id"]]
        offset = found[0]["offset"] if found else self.store(message["data"], message["id"])
        return {"data": {"offset": offset, "epoch": self.epoch, "duplicate": bool(found)}}

    def answer_publish(self, asked):
        self.store(asked["data"], f"server-{len(self.log)}")
        return {}

    def store(self, data, message_id=None, sender="Ann"):
        """Store a message without telling anybody; return its offset."""
        offset = len(self.log) + 1
        self.log.append(
            {
                "offset": offset,
                "data": data,
                "info": {"user": sender},
                "tags": {"id": message_id or f"id-{offset}"},
            }
        )
        return offset

    def say(self, data, message_id=None):
        """Store a message, and tell it."""
        self.store(data, message_id)
        self.tell(self.log[-1])

    def tell(self, publication):
        """Tell a publication to who is there."""
        for peer in self.open_connections:
            peer.send(json.dumps({"push": {"channel": "room", "pub": publication}}))
