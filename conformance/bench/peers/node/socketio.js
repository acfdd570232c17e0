// socket.io: the event `e` is echoed, `eb` too, with bytes in it, and `m` goes to everyone.
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { listen } from './listen.js';

const server = createServer();
const io = new Server(server, { maxHttpBufferSize: 17 << 20 });
io.on('connection', (socket) => {
  socket.on('e', (data) => socket.emit('e', data));
  socket.on('eb', (data) => socket.emit('eb', data));
  socket.on('m', (data) => io.emit('m', data));
});
listen(server);
