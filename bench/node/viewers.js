// Fan-out by node's `ws`: one `send` an update and viewer. `node viewers.js PORT FEED`
// Updates come as lines on the port FEED, `SCOPE JSON`; viewers say which scopes they want.
const { createServer } = require("node:net");
const { createInterface } = require("node:readline");
const { WebSocketServer } = require("ws");

const [port, feed] = process.argv.slice(2).map(Number);
const watching = new Map();

const viewers = new WebSocketServer({ host: "127.0.0.1", port, perMessageDeflate: false, backlog: 4096 });
viewers.on("connection", (viewer) => {
  const wanted = [];
  viewer.on("message", (data) => {
    const { scope } = JSON.parse(data);
    wanted.push(scope);
    if (!watching.has(scope)) watching.set(scope, new Set());
    watching.get(scope).add(viewer);
  });
  viewer.on("close", () => {
    for (const scope of wanted) watching.get(scope).delete(viewer);
  });
});

createServer((updates) => {
  createInterface({ input: updates }).on("line", (line) => {
    if (line === "") return;
    const at = line.indexOf(" ");
    const update = Buffer.from(line.slice(at + 1)); // encoded once for all
    for (const viewer of watching.get(line.slice(0, at)) ?? []) viewer.send(update, { binary: false });
  });
}).listen(feed, "127.0.0.1");
