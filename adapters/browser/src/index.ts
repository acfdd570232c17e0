/**
 * A client of nosphere.v1: one session over WebSocket, event streams or polls, whatever gets through. Every message of either
 * side arrives exactly once and in order, for as long as the session lives.
 */
export { connect } from './connect.js';
export { connector } from './socket.js';
export { climbing } from './climbing.js';
export { http } from './http.js';
export { iteration } from './iteration.js';
export { leaving } from './leaving.js';
export { reloading } from './reloading.js';
export { requests } from './requests.js';
export { tabs } from './tabs.js';
export { ClosedError, QueueFullError, TimeoutError } from './errors.js';
export { json } from './json.js';
export type { Address, Connect, Options, OptionsOf, Part, PartName, Rung, Socket, SocketEvents, SocketOf, State } from './api.js';
export type { Format, Frame, Kind, Size, Unit } from './frames.js';
export type { Message, MessageState } from './message.js';
export type { Transport } from './part.js';
