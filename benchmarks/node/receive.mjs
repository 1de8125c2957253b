// Receive floods with one library: node receive.mjs ws URL SHARE
// Prints messages per CPU second of this process for each size, as benchmarks/receive/client.py.
import WebSocket from 'ws';

const [peer, url, share] = process.argv.slice(2);
const COUNTS = { 32: 200_000, 256: 120_000, 2048: 30_000 };

async function makeSocket(address) {
  if (peer === 'ws') return new WebSocket(address);
  const library = await import(peer);
  const Reconnecting = peer === 'partysocket' ? library.WebSocket : library.default.default ?? library.default;
  return new Reconnecting(address, [], { WebSocket });
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function flood(size, count) {
  const socket = await makeSocket(`${url}/flood?size=${size}&count=${count}`);
  return new Promise((resolve, reject) => {
    let left = count;
    let begun = 0;
    socket.addEventListener('open', () => {
      begun = cpuSeconds();
      socket.send('go');
    });
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data);
      left -= 1;
      if (left > 0) return;
      const seconds = cpuSeconds() - begun;
      socket.close();
      if (message.id === count) resolve(seconds);
      else reject(new Error(`the last message is number ${message.id}, not ${count}`));
    });
  });
}

const figures = {};
for (const [size, usual] of Object.entries(COUNTS)) {
  const count = Math.max(100, Math.round(usual * Number(share)));
  figures[`${size} B`] = count / (await flood(size, count));
}
console.log(JSON.stringify(figures));
process.exit(0);
