// centrifuge-js against our server: sends, and prints everything that it is told, a JSON line each.
//   node centrifuge_reader.mjs URL CHANNEL TOTAL

import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const [url, channel, total] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const tell = (kind, fields) => console.log(JSON.stringify({ kind, ...fields }));
const client = new Centrifuge(url, {
  websocket: WebSocket,
  minReconnectDelay: 5,
  maxReconnectDelay: 100,
  timeout: 2000,
});
const subscription = client.newSubscription(channel, {
  since: { offset: 0, epoch: "" },
  joinLeave: true,
  minResubscribeDelay: 5,
  maxResubscribeDelay: 100,
});
let seen = 0;
const finished = new Promise((resolve) => {
  subscription.on("publication", (context) => {
    seen += 1;
    tell("publication", { offset: context.offset, data: context.data, user: context.info.user, id: context.tags.id });
    if (seen === total) resolve();
  });
});
subscription.on("subscribed", (context) => tell("subscribed", { recovered: context.recovered, was: context.wasRecovering }));
subscription.on("unsubscribed", (context) => tell("unsubscribed", { code: context.code }));
client.on("disconnected", (context) => tell("disconnected", { code: context.code }));
subscription.subscribe();
client.connect();

for (let number = 1; number <= total; number += 1) {
  for (let sent = false; !sent; ) {
    try {
      await client.ready(20000);
      await client.rpc("send", { channel, id: `id-${number}`, data: { number } });
      sent = true;
    } catch (error) {
      // The same message again, under the same id.
    }
  }
}
await finished;

const again = async (ask) => {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error.code >= 100) throw error;
    }
  }
};
const history = await again(() => subscription.history({ limit: 10, reverse: true }));
const presence = await again(() => subscription.presence());
const stats = await again(() => subscription.presenceStats());
tell("asked", {
  history: history.publications.map((each) => each.offset),
  top: history.offset,
  users: Object.values(presence.clients).map((each) => each.user),
  clients: stats.numClients,
});
await again(() => subscription.publish({ last: true }));
process.exit(0);
