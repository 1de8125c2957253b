// npm's `home-assistant-js-websocket` against our fake: signs in, asks, subscribes, calls, leaves.
//   node home_assistant.mjs URL TOKEN
// Prints one line of JSON: what it saw.

import WebSocket from "ws";
import {
  callService,
  createConnection,
  createLongLivedTokenAuth,
  ERR_INVALID_AUTH,
  getStates,
} from "home-assistant-js-websocket";

globalThis.WebSocket = WebSocket;
globalThis.location = { protocol: "http:", host: "localhost" };
const [url, token] = process.argv.slice(2);
const place = url.replace(/^ws/, "http").replace("/api/websocket", "");
const connect = (secret) =>
  createConnection({ auth: createLongLivedTokenAuth(place, secret), setupRetry: 0 });

const saw = {};
try {
  await connect("wrong");
} catch (error) {
  saw.wrongTokenIsInvalid = error === ERR_INVALID_AUTH;
}
const connection = await connect(token);
saw.version = connection.haVersion;
saw.states = await getStates(connection);
saw.events = [];
const unsubscribe = await connection.subscribeEvents(
  (event) => saw.events.push(event.data.new_state),
  "state_changed",
);
await callService(connection, "light", "turn_on", {}, { entity_id: "light.kitchen" });
await unsubscribe();
await callService(connection, "light", "turn_off", {}, { entity_id: "light.kitchen" });
await connection.ping();
saw.refusal = await callService(connection, "light", "explode").catch((error) => error.code);
connection.close();
console.log(JSON.stringify(saw));
process.exit(0);
