"""A chat in a window of Tkinter: run `sockstore serve`, then this program twice."""

import sys
import tkinter as tk

from sockstore import Message
from sockstore.blocking import WebSocket

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/chat/lobby?name=Ann"
COLOURS = {"connected": "#d4edda", "disconnected": "#f8d7da", "error": "#f8d7da"}
EVERY = 50  # milliseconds


class Chat(tk.Tk):
    def __init__(self, ws: WebSocket) -> None:
        super().__init__()
        self.title("Chat")
        self.ws = ws
        self.status = tk.Label(self)
        self.log = tk.Listbox(self, width=60, height=15)
        self.field = tk.Entry(self)
        for widget in (self.status, self.log, self.field):
            widget.pack(fill="x", padx=8, pady=4)
        self.field.bind("<Return>", self.say)
        self.field.focus()
        ws.on_status(self.show_status)
        ws.on_message(self.show_message)
        self.pump()

    def pump(self) -> None:
        self.ws.pump()  # callbacks run here: no other thread may touch a widget
        self.after(EVERY, self.pump)

    def show_status(self, status: str) -> None:
        self.status.config(text=status, bg=COLOURS[status], fg="#1c2733")

    def show_message(self, message: Message) -> None:
        if isinstance(message.data, dict) and "content" in message.data:
            sender = message.data.get("sender") or "Anonymous"
            self.log.insert("end", f"{sender}: {message.data['content']}")

    def say(self, _: object) -> None:
        if self.field.get().strip() and self.ws.send({"content": self.field.get()}):
            self.field.delete(0, "end")


if __name__ == "__main__":
    with WebSocket(URL, callbacks="pump") as ws:
        Chat(ws).mainloop()
