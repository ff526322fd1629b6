// The official JavaScript client, led by a test: a line of JSON on standard input is what it does, a line of JSON on
// standard output is what happened to it.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [address, transport] = process.argv.slice(2);
const auth = JSON.parse(process.env.AUTH);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const socket = io(address, { transports: [transport], auth, reconnectionDelay: 50, reconnectionDelayMax: 100 });
socket.on("connect", () => say({ connected: socket.io.engine.transport.name }));
socket.on("connect_error", (error) => say({ refused: error.message }));
socket.on("disconnect", () => say({ disconnected: true }));
socket.onAny((event, data) => say({ event, data }));

for await (const line of createInterface({ input: process.stdin })) {
  const { emit, data } = JSON.parse(line);
  socket.emit(emit, data, (ack) => say({ ack }));
}
socket.disconnect();
