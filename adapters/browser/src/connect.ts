// The whole client.

import { requests } from './requests.js';
import { iteration } from './iteration.js';
import { tabs } from './tabs.js';
import { leaving } from './leaving.js';
import { reloading } from './reloading.js';
import { climbing } from './climbing.js';
import { http } from './http.js'; // of the orders that were tried, this one compresses best
import { open } from './socket.js';
import type { Address, Options, Socket } from './api.js';

/**
 * Opens a session, and keeps it over any sequence of connections. In and Out are the messages of either side.
 *
 * Throws a `TypeError` for an address or options that cannot be.
 */
export const connect = <In = any, Out = any>(address: Address, options?: Options): Socket<In, Out> =>
  open([http, requests, iteration, climbing, leaving, reloading, tabs], address, options);
