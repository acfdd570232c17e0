// The single file for a `<script>` element: what the package exports, as the global `nosphere`.

import { ClosedError, QueueFullError, TimeoutError, connect, json } from './index.js';

Object.assign(globalThis, { nosphere: { ClosedError, QueueFullError, TimeoutError, connect, json } });
