// ws: /echo and /broadcast.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { listen } from './listen.js';

const server = createServer();
const echo = new WebSocketServer({ noServer: true });
echo.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => {});
});
const all = new WebSocketServer({ noServer: true });
all.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    for (const other of all.clients) other.send(data, { binary });
  });
  socket.on('error', () => {});
});
server.on('upgrade', (request, socket, head) => {
  const to = request.url.startsWith('/broadcast') ? all : echo;
  to.handleUpgrade(request, socket, head, (ws) => to.emit('connection', ws, request));
});
listen(server);
