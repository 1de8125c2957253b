// What a page does without any library: it receives so many messages, and decodes each.
async (url, count) => {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    let left = count;
    socket.onopen = () => socket.send("go");
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (--left) return;
      if (message.id === count) resolve();
      else reject(new Error(`the last message is number ${message.id}, not ${count}`));
    };
  });
  socket.close();
};
