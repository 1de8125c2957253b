// npm's `ws`: echoes, and does what the tests ask for (see foreign/server_programs.py).
//   node ws_server.mjs PORT

import { WebSocketServer } from "ws";

let last = [0, ""];
const server = new WebSocketServer({
  port: Number(process.argv[2]),
  host: "127.0.0.1",
  perMessageDeflate: true,
  handleProtocols: (offered) => (offered.has("two") ? "two" : false),
});
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("close", (code, reason) => {
    last = [code, reason.toString()];
  });
  socket.on("message", (data, isBinary) => {
    const [word, code, reason] = isBinary ? [] : data.toString().slice(0, 200).split(" ");
    if (word === "!close") socket.close(Number(code), reason);
    else if (word === "!last") socket.send(JSON.stringify(last));
    else socket.send(data, { binary: isBinary });
  });
});
