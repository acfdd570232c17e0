/**
 * A client of nosphere.v1: one session over WebSocket, event streams or polls, whatever gets through. Every message of either
 * side arrives exactly once and in order, for as long as the session lives.
 */
export { connect } from './socket.js';
export { ClosedError, QueueFullError, TimeoutError } from './errors.js';
export { json } from './json.js';
export type { Address, Options, Rung, Socket, SocketEvents, State } from './api.js';
export type { Format, Frame, Kind, Size, Unit } from './frames.js';
export type { Message, MessageState } from './message.js';
export type { Transport } from './transports.js';
